//# The attention room: a CTA computes one tile of query rows of one head, walking the kv tiles that
//# S_s asks for.
// attention · flash forward over computed block pairs
// computes   O = softmax(Q Kᵀ · scale) V and lse, where the cache symbol is 1
//% if plan.forecast
// reuses     other blocks: writes Σ coefficient · cached feature, lse = -∞
//% else
// leaves     other blocks to the caller
//% endif
// skips      kv blocks whose skip symbol is 0
//% if plan.mask
// mask       ${ rules.mask_words }
//% endif
//% if plan.score
// score      ${ rules.score_words }
//% endif
//% set length = "sequence lengths by index pointer" if plan.ragged else "one sequence length"
// shape      D=${ plan.head_dim }, ${ plan.dtype }; ${ length }; B, H, H_kv, N, N_kv at run time
// blocks     q ${ plan.block_q }  kv ${ plan.block_kv }      tile  q ${ plan.tile_q }  kv ${ plan.tile_kv }
// target     ${ plan.target }   threads ${ plan.threads }   shared ${ plan.shared.bytes } B
//% for line in shared_map
// ${ "shared" if loop.first else "      " }     ${ line }
//% endfor
//% if absent
// absent     ${ absent | join(", ") }
//% endif
//# text

// ---- setup -------------------------------------------------------------------------------------

// The loop's registers are full of accumulators: finish works this out again instead of keeping it.
static __device__ __forceinline__ Tile setup(const Params& p) {
    Tile tile;
    tile.b = cta_z();
    tile.h = cta_y();
    tile.first_q = cta_x() * kTileQ;
    tile.i = tile.first_q / kBlockQ;
//% if plan.ragged
    tile.q_row = p.q_indptr[tile.b];
    tile.kv_row = p.kv_indptr[tile.b];
    tile.n_q = p.q_indptr[tile.b + 1] - p.q_indptr[tile.b];
    tile.n_kv = p.kv_indptr[tile.b + 1] - p.kv_indptr[tile.b];
//% else
    tile.q_row = (i64)tile.b * p.n_q;
    tile.kv_row = (i64)tile.b * p.n_kv;
    tile.n_q = p.n_q;
    tile.n_kv = p.n_kv;
//% endif
    return tile;
}

// Where row `row` of the tile stands in Q and O, at this head.
static __device__ __forceinline__ i64 q_offset(const Params& p, const Tile& tile, int row) {
    return ((tile.q_row + tile.first_q + row) * p.heads + tile.h) * kHeadDim;
}

// Where row `row` of the tile stands in lse.
static __device__ __forceinline__ i64 lse_offset(const Params& p, const Tile& tile, int row) {
//% if plan.ragged
    return (i64)tile.h * p.total_q + tile.q_row + tile.first_q + row;
//% else
    return ((i64)tile.b * p.heads + tile.h) * p.n_q + tile.first_q + row;
//% endif
}
//% if plan.forecast

// ---- reuse -------------------------------------------------------------------------------------

// O = Σ_k coefficient_k · feature_k for a tile whose block is not computed.
static __device__ __forceinline__ void write_forecast(const Params& p, const Tile& tile) {
    const int rows = min(kTileQ, tile.n_q - tile.first_q);
    for (int at = threadIdx.x; at < rows * kRowChunks; at += kThreads) {
        const i64 offset = q_offset(p, tile, at / kRowChunks) + at % kRowChunks * 8;
        float sum[8] = {};
        for (int k = 0; k < p.n_features; ++k) {
            const uint4 packed = *(const uint4*)(p.features[k] + offset);
            const u32 pairs[4] = {packed.x, packed.y, packed.z, packed.w};
            #pragma unroll
            for (int n = 0; n < 4; ++n) {
                sum[2 * n] += p.coefficients[k] * unpack_low(pairs[n]);
                sum[2 * n + 1] += p.coefficients[k] * unpack_high(pairs[n]);
            }
        }
        uint4 packed;
        packed.x = pack_pair(sum[0], sum[1]);
        packed.y = pack_pair(sum[2], sum[3]);
        packed.z = pack_pair(sum[4], sum[5]);
        packed.w = pack_pair(sum[6], sum[7]);
        *(uint4*)(p.o + offset) = packed;
    }
    for (int row = threadIdx.x; row < rows; row += kThreads) {
        p.lse[lse_offset(p, tile, row)] = negative_infinity();
    }
}
//% endif

// ---- load --------------------------------------------------------------------------------------

// Starts copying `rows` rows into a swizzled tile. Rows from `valid` on are filled with zeros.
static __device__ __forceinline__ void load_rows(u32 to, const u16* from, int stride, int rows,
                                                 int valid) {
    const int row = threadIdx.x / kGroupChunks;
    const int chunk = threadIdx.x % kGroupChunks;
    to += row * kRowBytes + swizzled(row, chunk);
    #pragma unroll
    for (int r = 0; r < rows; r += kRowsPerPass) {
        const bool inside = row + r < valid;
        const u16* source = from + (inside ? row + r : 0) * stride + chunk * 8;
        #pragma unroll
        for (int g = 0; g < kGroups; ++g) {
            cp_async_16(to + r * kRowBytes + g * kGroupBytes, source + g * kGroupChunks * 8,
                        inside ? 16 : 0);
        }
    }
}

// Starts copying the kv tile whose first token is `kv`.
static __device__ __forceinline__ void load_kv_tile(u32 to, const u16* head, int stride, int kv,
                                                    int n_kv) {
    static_assert(kTileQ % kRowsPerPass == 0 && kTileKv % kRowsPerPass == 0, "whole tiles");
    load_rows(to, head + (i64)kv * stride, stride, kTileKv, n_kv - kv);
}

// ---- compute -----------------------------------------------------------------------------------

// Sixteen columns of D of S += Q Kᵀ
static __device__ __forceinline__ void multiply_qk_step(float (&s)[kRowTiles][kTileKv / 8][4],
                                                        u32 q_tile, u32 k_tile, const Lane& lane,
                                                        int k) {
    u32 a[kRowTiles][4];
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        ldmatrix_x4(a[m], operand_step(q_tile + lane.by_rows, k) + m * 16 * kRowBytes);
    }
    #pragma unroll
    for (int n = 0; n < kTileKv / 16; ++n) {
        u32 b[4];
        ldmatrix_x4(b, operand_step(k_tile + lane.by_columns, k) + n * 16 * kRowBytes);
        #pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
            mma_16816(s[m][2 * n], a[m], b[0], b[1]);
            mma_16816(s[m][2 * n + 1], a[m], b[2], b[3]);
        }
    }
}

// S = Q Kᵀ
static __device__ __forceinline__ void multiply_qk(float (&s)[kRowTiles][kTileKv / 8][4],
                                                   const Stages& stages, const Lane& lane) {
    clear_logits(s);
    #pragma unroll
    for (int k = 0; k < kQkSteps; ++k) {
        multiply_qk_step(s, stages.q, stages.k, lane, k);
    }
}
//% if plan.score

// S ← score(S · scale)
static __device__ __forceinline__ void apply_score(float (&s)[kRowTiles][kTileKv / 8][4],
                                                   const Params& p, const Tile& tile,
                                                   int first_kv) {
//% if rules.score.reads_q or rules.score.row
    const int first_q = tile.first_q + warp_row() + fragment_row();
//% endif
//% if rules.score.reads_kv
    first_kv += fragment_column();
//% endif
//% if rules.score.row
    // What is the same for all columns of a row.
    ScoreRow rows[kRowTiles][2];
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int q = min(first_q + m * 16 + r * 8, tile.n_q - 1);
            rows[m][r] = ${ rules.score.row };
        }
    }
//% endif
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
//% if rules.score.row
                const ScoreRow& row = rows[m][e / 2];
//% endif
//% if rules.score.reads_q
                const int q = min(first_q + m * 16 + e / 2 * 8, tile.n_q - 1);
//% endif
//% if rules.score.reads_kv
                const int kv = min(first_kv + n * 8 + e % 2, tile.n_kv - 1);
//% endif
                s[m][n][e] = ${ rules.score.pair };
            }
        }
    }
}
//% endif

// S ← -∞ past the end of the sequence
static __device__ __forceinline__ void cut_tail(float (&s)[kRowTiles][kTileKv / 8][4], int n_kv,
                                                int first_kv) {
    first_kv += fragment_column();
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                if (first_kv + n * 8 + e % 2 >= n_kv) {
                    s[m][n][e] = negative_infinity();
                }
            }
        }
    }
}
//% if plan.mask

// S ← -∞ where the mask refuses the pair
static __device__ __forceinline__ void apply_mask(float (&s)[kRowTiles][kTileKv / 8][4],
                                                  const Params& p, const Tile& tile,
                                                  int first_kv) {
//% if rules.mask.reads_q or rules.mask.row
    const int first_q = tile.first_q + warp_row() + fragment_row();
//% endif
//% if rules.mask.reads_kv
    first_kv += fragment_column();
//% endif
//% if rules.mask.row
    // What is the same for all columns of a row.
    MaskRow rows[kRowTiles][2];
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int q = min(first_q + m * 16 + r * 8, tile.n_q - 1);
            rows[m][r] = ${ rules.mask.row };
        }
    }
//% endif
//% if rules.mask_divides
    // Divisions are long: a loop over columns holds their code once, and what is the same for all
    // columns is divided before it. Of a column stays one bit for each row.
    u32 refused[kRowTiles][2] = {};
    #pragma unroll 1
    for (int c = 0; c < kTileKv / 4; ++c) {
//% if rules.mask.reads_kv
        const int kv = min(first_kv + c / 2 * 8 + c % 2, tile.n_kv - 1);
//% endif
        #pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
            #pragma unroll
            for (int r = 0; r < 2; ++r) {
//% if rules.mask.row
                const MaskRow& row = rows[m][r];
//% endif
//% if rules.mask.reads_q
                const int q = min(first_q + m * 16 + r * 8, tile.n_q - 1);
//% endif
                refused[m][r] |= (u32)!${ rules.mask.pair } << c;
            }
        }
    }
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                if (refused[m][e / 2] >> (n * 2 + e % 2) & 1) {
                    s[m][n][e] = negative_infinity();
                }
            }
        }
    }
}
//% else
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
//% if rules.mask.row
                const MaskRow& row = rows[m][e / 2];
//% endif
//% if rules.mask.reads_q
                const int q = min(first_q + m * 16 + e / 2 * 8, tile.n_q - 1);
//% endif
//% if rules.mask.reads_kv
                const int kv = min(first_kv + n * 8 + e % 2, tile.n_kv - 1);
//% endif
                if (!${ rules.mask.pair }) {
                    s[m][n][e] = negative_infinity();
                }
            }
        }
    }
}
//% endif
//% endif

// O += P V
static __device__ __forceinline__ void multiply_pv(Accumulator& acc,
                                                   const u32 (&prob)[kRowTiles][kTileKv / 16][4],
                                                   u32 v_tile, const Lane& lane) {
    // Columns outermost: a pair of accumulator tiles is finished before the next is touched,
    // which is what lets two row tiles a warp fit 255 registers.
    #pragma unroll
    for (int d = 0; d < kHeadDim / 16; ++d) {
        #pragma unroll
        for (int k = 0; k < kTileKv / 16; ++k) {
            u32 b[4];
            ldmatrix_x4_transposed(b, operand_step(v_tile + lane.by_rows, d) + k * 16 * kRowBytes);
            #pragma unroll
            for (int m = 0; m < kRowTiles; ++m) {
                mma_16816(acc.o[m][2 * d], prob[m][k], b[0], b[1]);
                mma_16816(acc.o[m][2 * d + 1], prob[m][k], b[2], b[3]);
            }
        }
    }
}

// ---- walk --------------------------------------------------------------------------------------

// S as softmax takes it${ ": after the score rule" if plan.score }${ ", behind the mask" if plan.mask }, cut at the end of the sequence.
static __device__ __forceinline__ void complete_logits(float (&s)[kRowTiles][kTileKv / 8][4],
                                                       const Params& p, const Tile& tile,
                                                       const KvTile& now) {
//% if plan.score
    apply_score(s, p, tile, now.kv);
//% endif
//% if plan.mask
    if (now.partial) {
        apply_mask(s, p, tile, now.kv);
    }
//% endif
    if (now.kv + kTileKv > tile.n_kv) {
        cut_tail(s, tile.n_kv, now.kv);
    }
}

// O += P V${ ", also where V holds infinities or NaN" if plan.mask }
static __device__ __forceinline__ void add_values(Accumulator& acc,
                                                  const u32 (&prob)[kRowTiles][kTileKv / 16][4],
                                                  u32 v_tile, const Lane& lane${ ", bool partial" if plan.mask }) {
//% if plan.mask
    if (partial && has_specials(v_tile)) {
        multiply_pv_with_specials(acc, prob, v_tile, lane);
        return;
    }
//% endif
    multiply_pv(acc, prob, v_tile, lane);
}

// Takes the kv tile `now`, whose S is in `s`, into O, and leaves S of the next one in `next_s`.
// The exponentials stand beside the products of the next S: they need other units of the SM.
static __device__ __forceinline__ void advance(Accumulator& acc,
                                               float (&s)[kRowTiles][kTileKv / 8][4],
                                               float (&next_s)[kRowTiles][kTileKv / 8][4],
                                               KvTile& now, Walk& walk, Stages& stages,
                                               const Lane& lane, const Params& p,
                                               const Tile& tile) {
    const KvTile next = walk.now;
    // Registers are full: where K and V of this head start comes from shared memory.
    const i64 kv_head = load_shared_8(stages.kv_head);
    const int kv_stride = p.kv_heads * kHeadDim;
    // K of the next tile and V of this one have come; nobody reads the other two stages any more.
    cp_async_wait_all();
    __syncthreads();
    load_kv_tile(other_stage(stages.v), p.v + kv_head, kv_stride, next.kv, tile.n_kv);
    next_kv_tile(walk, p, tile.n_kv);
    if (walk.now.kv >= 0) {
        load_kv_tile(stages.k, p.k + kv_head, kv_stride, walk.now.kv, tile.n_kv);
    }
    cp_async_commit();

    complete_logits(s, p, tile, now);
    raise_maxima(acc, s${ ", p.scale_log2" if not plan.score });
    u32 prob[kRowTiles][kTileKv / 16][4];
    clear_logits(next_s);
    stages.k = other_stage(stages.k);
    #pragma unroll
    for (int k = 0; k < kQkSteps; ++k) {
        multiply_qk_step(next_s, stages.q, stages.k, lane, k);
        // A share of the exponentials. Bounds that change with k would keep this from unrolling.
        #pragma unroll
        for (int n = 0; n < kWeighings; ++n) {
            if (n >= k * kWeighings / kQkSteps && n < (k + 1) * kWeighings / kQkSteps) {
                weigh(prob, acc, s, n % kRowTiles, n / kRowTiles${ ", p.scale_log2" if not plan.score });
            }
        }
    }
    add_values(acc, prob, stages.v, lane${ ", now.partial" if plan.mask });
    stages.v = other_stage(stages.v);
    now = next;
}

// Takes the last kv tile into O.
static __device__ __forceinline__ void conclude(Accumulator& acc,
                                                float (&s)[kRowTiles][kTileKv / 8][4],
                                                const KvTile& now, u32 v_tile, const Lane& lane,
                                                const Params& p, const Tile& tile) {
    cp_async_wait_all();
    __syncthreads();
    complete_logits(s, p, tile, now);
    raise_maxima(acc, s${ ", p.scale_log2" if not plan.score });
    u32 prob[kRowTiles][kTileKv / 16][4];
    #pragma unroll
    for (int n = 0; n < kWeighings; ++n) {
        weigh(prob, acc, s, n % kRowTiles, n / kRowTiles${ ", p.scale_log2" if not plan.score });
    }
    add_values(acc, prob, v_tile, lane${ ", now.partial" if plan.mask });
}

// ---- finish ------------------------------------------------------------------------------------

// O ← O / l and lse = ${ "m + ln l" if plan.score else "ln(2^m · l)" }. The warp's rows, where Q was, carry O to 16-byte stores.
static __device__ __forceinline__ void finish(const Params& p, Accumulator& acc, u32 out) {
    const Tile tile = setup(p);
    const int warp_q = warp_row();
    const u32 warp_tile = out + warp_q * kRowBytes;
    const int column = fragment_column();
    __syncwarp();
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const float l = quad_sum(acc.l[m][r]);
            // An empty row has l = 0: its output is 0 and its lse -∞.
            const float inverse = l == 0.0f ? 0.0f : rcp_approx(l);
            const int row = fragment_row() + m * 16 + r * 8;
            if (column == 0 && tile.first_q + warp_q + row < tile.n_q) {
                p.lse[lse_offset(p, tile, warp_q + row)] =
                    l == 0.0f ? negative_infinity()
                              : ${ "acc.m[m][r] + log2_approx(l) * kLn2" if plan.score else "(acc.m[m][r] + log2_approx(l)) * kLn2" };
            }
            #pragma unroll
            for (int d = 0; d < kHeadDim / 8; ++d) {
                store_shared(warp_tile + row * kRowBytes + swizzled(row, d) + column * 2,
                             pack_pair(acc.o[m][d][2 * r] * inverse,
                                       acc.o[m][d][2 * r + 1] * inverse));
            }
        }
    }
    __syncwarp();
    const int rows = min(kRowTiles * 16, tile.n_q - tile.first_q - warp_q);
    for (int at = threadIdx.x % 32; at < rows * kRowChunks; at += 32) {
        const int row = at / kRowChunks;
        const int chunk = at % kRowChunks;
        *(uint4*)(p.o + q_offset(p, tile, warp_q + row) + chunk * 8) =
            load_shared_16(warp_tile + row * kRowBytes + swizzled(row, chunk));
    }
}

extern "C" __global__ void __launch_bounds__(kThreads${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ plan.name }(const __grid_constant__ Params p) {
    extern __shared__ __align__(1024) u8 shared[];
    const Tile tile = setup(p);
//% if plan.ragged
    if (tile.first_q >= tile.n_q) {
        return;
    }
//% endif
    if (!is_computed(p.s_c, tile.b * p.q_blocks + tile.i, p.heads, tile.h)) {
//% if plan.forecast
        write_forecast(p, tile);
//% endif
        return;
    }

    const Lane lane = lane_of_thread();
    const u32 memory = shared_address(shared);
    Stages stages = first_stages(memory);
    const int kv_stride = p.kv_heads * kHeadDim;
    const i64 kv_head = (tile.kv_row * p.kv_heads + tile.h / p.heads_per_kv_head) * kHeadDim;

    if (thread_x() == 0) {
        store_shared_8(stages.kv_head, kv_head);
    }

    Accumulator acc;
    clear(acc);
    Walk walk = first_kv_tile(p, tile);
    KvTile now = walk.now;
    if (now.kv >= 0) {
        load_rows(memory + kQAt, p.q + q_offset(p, tile, 0), p.heads * kHeadDim, kTileQ,
                  tile.n_q - tile.first_q);
        load_kv_tile(stages.k, p.k + kv_head, kv_stride, now.kv, tile.n_kv);
        cp_async_commit();
        load_kv_tile(stages.v, p.v + kv_head, kv_stride, now.kv, tile.n_kv);
        next_kv_tile(walk, p, tile.n_kv);
        if (walk.now.kv >= 0) {
            load_kv_tile(other_stage(stages.k), p.k + kv_head, kv_stride, walk.now.kv, tile.n_kv);
        }
        cp_async_commit();
        cp_async_wait_all_but_1();
        __syncthreads();

        float s[kRowTiles][kTileKv / 8][4];
        multiply_qk(s, stages, lane);
        #pragma unroll 1
        while (walk.now.kv >= 0) {
            float next_s[kRowTiles][kTileKv / 8][4];
            advance(acc, s, next_s, now, walk, stages, lane, p, tile);
            copy_logits(s, next_s);
        }
        conclude(acc, s, now, stages.v, lane, p, tile);
    }
    finish(p, acc, memory + kOAt);
}
