//# The attention room: a CTA computes one tile of query rows of one head, walking the kv tiles that
//# S_s asks for.

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
        p.lse[lse_offset(p, tile, row)] = kNegativeInfinity;
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
    load_rows(to, head + (i64)kv * stride, stride, kTileKv, n_kv - kv);
}

// ---- compute -----------------------------------------------------------------------------------

// S = Q Kᵀ
static __device__ __forceinline__ void multiply_qk(float (&s)[kRowTiles][kTileKv / 8][4],
                                                   u32 q_tile, u32 k_tile, const Lane& lane) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0.0f;
        }
    }
    #pragma unroll
    for (int k = 0; k < kHeadDim / 16; ++k) {
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
}
//% if plan.score

// S ← score(S · scale), base 2
static __device__ __forceinline__ void apply_score(float (&s)[kRowTiles][kTileKv / 8][4],
                                                   const Params& p, const Tile& tile,
                                                   int first_kv) {
//% if rules.score_reads_q
    const int first_q = tile.first_q + warp_row() + fragment_row();
//% endif
//% if rules.score_reads_kv
    first_kv += fragment_column();
//% endif
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
//% if rules.score_reads_q
                const int q = min(first_q + m * 16 + e / 2 * 8, tile.n_q - 1);
//% endif
//% if rules.score_reads_kv
                const int kv = min(first_kv + n * 8 + e % 2, tile.n_kv - 1);
//% endif
                s[m][n][e] = kLog2E * score(${ rules.score_arguments });
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
                    s[m][n][e] = kNegativeInfinity;
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
//% if rules.mask_reads_q
    const int first_q = tile.first_q + warp_row() + fragment_row();
//% endif
//% if rules.mask_reads_kv
    first_kv += fragment_column();
//% endif
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
//% if rules.mask_reads_q
                const int q = min(first_q + m * 16 + e / 2 * 8, tile.n_q - 1);
//% endif
//% if rules.mask_reads_kv
                const int kv = min(first_kv + n * 8 + e % 2, tile.n_kv - 1);
//% endif
                if (!mask(${ rules.mask_arguments })) {
                    s[m][n][e] = kNegativeInfinity;
                }
            }
        }
    }
}
//% endif

// m' = max(m, rowmax S);  P = 2^(S - m');  l ← l·2^(m - m') + rowsum P;  O ← O·2^(m - m')
static __device__ __forceinline__ void softmax_step(u32 (&prob)[kRowTiles][kTileKv / 16][4],
                                                    float (&s)[kRowTiles][kTileKv / 8][4],
                                                    Accumulator& acc${ ", float scale" if not plan.score }) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        float base[2], sum[2] = {}, rescale[2];
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            float most = acc.m[m][r];
            #pragma unroll
            for (int n = 0; n < kTileKv / 8; ++n) {
                most = fmaxf(most, fmaxf(s[m][n][2 * r], s[m][n][2 * r + 1]));
            }
            most = quad_max(most);
            // A row that has seen no pair yet keeps m = -∞; 0 stands in so that no ∞ - ∞ arises.
            base[r] = most == kNegativeInfinity ? 0.0f : most${ " * scale" if not plan.score };
            rescale[r] = exp2_approx(acc.m[m][r]${ " * scale" if not plan.score } - base[r]);
            acc.m[m][r] = most;
        }
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int r = 0; r < 2; ++r) {
//% if plan.score
                const float low = exp2_approx(s[m][n][2 * r] - base[r]);
                const float high = exp2_approx(s[m][n][2 * r + 1] - base[r]);
//% else
                const float low = exp2_approx(fmaf(s[m][n][2 * r], scale, -base[r]));
                const float high = exp2_approx(fmaf(s[m][n][2 * r + 1], scale, -base[r]));
//% endif
                sum[r] += low + high;
                // The accumulator of two 8-column tiles is the A operand of one 16-deep step.
                prob[m][n / 2][n % 2 * 2 + r] = pack_pair(low, high);
            }
        }
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            acc.l[m][r] = acc.l[m][r] * rescale[r] + sum[r];
            #pragma unroll
            for (int d = 0; d < kHeadDim / 8; ++d) {
                acc.o[m][d][2 * r] *= rescale[r];
                acc.o[m][d][2 * r + 1] *= rescale[r];
            }
        }
    }
}

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

// ---- finish ------------------------------------------------------------------------------------

// O ← O / l and lse = ln(2^m · l). The warp's rows of the Q tile carry O to 16-byte stores.
static __device__ __forceinline__ void finish(const Params& p, Accumulator& acc, u32 q_tile) {
    const Tile tile = setup(p);
    const int warp_q = warp_row();
    const u32 warp_tile = q_tile + warp_q * kRowBytes;
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
                    l == 0.0f ? kNegativeInfinity
                              : (acc.m[m][r]${ " * p.scale_log2" if not plan.score } + log2_approx(l)) * kLn2;
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

extern "C" __global__ void __launch_bounds__(kThreads${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm > 1 })
${ plan.name }(const __grid_constant__ Params p) {
    extern __shared__ __align__(128) u8 shared[];
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
    const u32 q_tile = shared_address(shared);
    const u32 k_tile = q_tile + kTileQ * kRowBytes;
    const u32 v_tile = k_tile + kTileKv * kRowBytes;
    const u32 warp_tile = q_tile + warp_row() * kRowBytes;
    const int kv_stride = p.kv_heads * kHeadDim;
    const i64 kv_head = (tile.kv_row * p.kv_heads + tile.h / p.heads_per_kv_head) * kHeadDim;

    Accumulator acc;
    clear(acc);
    Walk walk = first_kv_tile(p, tile);
    if (walk.kv >= 0) {
        load_rows(q_tile, p.q + q_offset(p, tile, 0), p.heads * kHeadDim, kTileQ,
                  tile.n_q - tile.first_q);
        load_kv_tile(k_tile, p.k + kv_head, kv_stride, walk.kv, tile.n_kv);
    }
    cp_async_commit();

    // One copy is always in flight: V of this tile under S = Q Kᵀ, K of the next under softmax.
    #pragma unroll 1
    while (walk.kv >= 0) {
        const int kv = walk.kv;
//% if plan.mask
        const bool partial = walk.partial;
//% endif
        load_kv_tile(v_tile, p.v + kv_head, kv_stride, kv, tile.n_kv);
        cp_async_commit();
        cp_async_wait_all_but_1();
        __syncthreads();

        float s[kRowTiles][kTileKv / 8][4];
        multiply_qk(s, warp_tile, k_tile, lane);

        next_kv_tile(walk, p, tile.n_kv);
        __syncthreads();
        if (walk.kv >= 0) {
            load_kv_tile(k_tile, p.k + kv_head, kv_stride, walk.kv, tile.n_kv);
        }
        cp_async_commit();

//% if plan.score
        apply_score(s, p, tile, kv);
//% endif
//% if plan.mask
        if (partial) {
            apply_mask(s, p, tile, kv);
        }
//% endif
        if (kv + kTileKv > tile.n_kv) {
            cut_tail(s, tile.n_kv, kv);
        }
        u32 prob[kRowTiles][kTileKv / 16][4];
        softmax_step(prob, s, acc${ ", p.scale_log2" if not plan.score });

        cp_async_wait_all_but_1();
        __syncthreads();
//% if plan.mask
        if (partial && has_specials(v_tile)) {
            multiply_pv_with_specials(acc, prob, v_tile, lane);
        } else {
            multiply_pv(acc, prob, v_tile, lane);
        }
//% else
        multiply_pv(acc, prob, v_tile, lane);
//% endif
        __syncthreads();
    }
    finish(p, acc, q_tile);
}
