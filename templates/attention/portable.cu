//# The attention room: a CTA computes one tile of query rows of one head, walking the kv tiles that
//# S_s asks for. All warps load, multiply and wait alike.
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
// blocks     q ${ plan.block_q }  kv ${ plan.block_kv }      tile  q ${ plan.tile_q }  kv ${ plan.tile_kv }${ ", heaviest first" if plan.heaviest_first }
// target     ${ plan.target }   threads ${ plan.threads }   shared ${ plan.shared.bytes } B
//% for line in shared_map
// ${ "shared" if loop.first else "      " }     ${ line }
//% endfor
//% if absent
// absent     ${ absent | join(", ") }
//% endif
//# text
//% if plan.forecast

// ---- reuse -------------------------------------------------------------------------------------

//% include "forecast of a tile"
//% endif

// ---- load --------------------------------------------------------------------------------------

// Starts copying `rows` rows into the panels of a tile. Rows from `valid` on are filled with zeros.
DEVICE void load_rows(u32 to, const u16* from, int stride, int rows, int valid) {
//% if plan.rereads_thread
    // Read again for each copy: what follows from it need not be held.
    const int thread = thread_x();
    const int row = thread / kPanelChunks;
    const int chunk = thread % kPanelChunks;
//% else
    const int row = threadIdx.x / kPanelChunks;
    const int chunk = threadIdx.x % kPanelChunks;
//% endif
    to += in_panel(row, chunk);
    UNROLL for (int r = 0; r < rows; r += kRowsPerPass) {
        const bool inside = row + r < valid;
        const u16* source = from + ((inside ? row + r : 0) * stride + chunk * 8);
        UNROLL for (int g = 0; g < kPanels; ++g) {
            cp_async_16(to + (g * rows + r) * kPanelRow, source + g * kPanelChunks * 8,
                        inside ? 16 : 0);
        }
    }
}

// Starts copying the tile of K or V whose first token is `kv`.
DEVICE void load_kv_tile(u32 to, const u16* head, int kv, const Params& p, const Tile& tile) {
    static_assert(kTileQ % kRowsPerPass == 0 && kTileKv % kRowsPerPass == 0, "whole tiles");
    const int stride = p.kv_heads * kHeadDim;
    load_rows(to, head + (i64)kv * stride, stride, kTileKv, tile.n_kv - kv);
}

// Starts copying V of the tile where the walk stands and K of the one after it, and goes there.
DEVICE void prefetch(Pipeline& pipe, u32 v, u32 k, i64 kv_head, const Params& p, const Tile& tile) {
    load_kv_tile(v, p.v + kv_head, pipe.walk.now.kv, p, tile);
    next_kv_tile(pipe.walk, p, tile.n_kv);
    if (pipe.walk.now.kv >= 0) {
        load_kv_tile(k, p.k + kv_head, pipe.walk.now.kv, p, tile);
    }
    cp_async_commit();
}

// ---- compute -----------------------------------------------------------------------------------

// Sixteen columns of D of S += Q Kᵀ
DEVICE void multiply_qk_step(Logits& logits, const Pipeline& pipe, int k) {
    const u32 q_step = operand_step(pipe.q + pipe.lane.by_rows, k, kTileQ);
    const u32 k_step = operand_step(pipe.k + pipe.lane.by_columns, k, kTileKv);
    u32 a[kRowTiles][4];
    UNROLL for (int m = 0; m < kRowTiles; ++m) {
        ldmatrix_x4(a[m], q_step + m * 16 * kPanelRow);
    }
    UNROLL for (int n = 0; n < kTileKv / 16; ++n) {
        u32 b[4];
        ldmatrix_x4(b, k_step + n * 16 * kPanelRow);
        UNROLL for (int m = 0; m < kRowTiles; ++m) {
            mma_16816(logits[m][2 * n], a[m], b[0], b[1]);
            mma_16816(logits[m][2 * n + 1], a[m], b[2], b[3]);
        }
    }
}

// O += P V${ ", also where V holds infinities or NaN" if plan.mask }
DEVICE void multiply_pv(Accumulator& acc, const Prob& prob, const Pipeline& pipe) {
//% if plan.mask
    if (pipe.now.partial && has_specials(pipe.v)) {
        multiply_pv_with_specials(acc, prob, pipe.v, pipe.lane);
        return;
    }
//% endif
    // Columns outermost: a pair of accumulator tiles is finished before the next is touched,
    // which is what lets two row tiles a warp fit 255 registers.
    UNROLL for (int d = 0; d < kHeadDim / 16; ++d) {
        const u32 v_step = operand_step(pipe.v + pipe.lane.by_rows, d, kTileKv);
        UNROLL for (int k = 0; k < kTileKv / 16; ++k) {
            u32 b[4];
            ldmatrix_x4_transposed(b, v_step + k * 16 * kPanelRow);
            UNROLL for (int m = 0; m < kRowTiles; ++m) {
                mma_16816(acc.o[m][2 * d], prob[m][k], b[0], b[1]);
                mma_16816(acc.o[m][2 * d + 1], prob[m][k], b[2], b[3]);
            }
        }
    }
}

// ---- loop --------------------------------------------------------------------------------------

// Takes the kv tile whose S is in `logits` into O, and leaves S of the next one in `next_logits`,
// which is null for the last. The exponentials stand beside the products of the next S${ ", and its\n// score beside those of P V" if plan.score }: they need
// other units of the SM.
DEVICE void take_kv_tile(Accumulator& acc, Logits& logits, Logits* next_logits, Pipeline& pipe,
                         const Params& p, const Tile& tile) {
    const KvTile next = pipe.walk.now;
    // Registers are full: where K and V of this head start comes from shared memory.
    const i64 kv_head = load_shared_8(pipe.kv_head);
    // K of the next tile and V of this one have come; nobody reads the other two stages any more.
    cp_async_wait_all();
    __syncthreads();
    if (next_logits) {
        prefetch(pipe, other_stage(pipe.v), pipe.k, kv_head, p, tile);
    }
    complete_logits(logits, p, tile, pipe.now);
    update_row_max(acc, logits, p);
    Prob prob;
    pipe.k = other_stage(pipe.k);
    UNROLL for (int k = 0; k < kQkSteps; ++k) {
//# Another order, for the compiler alone: measured, 0.99 of the time there and nothing elsewhere,
//# where some kernels spill with it.
//% set exponentials_first = plan.rereads_thread and not plan.mask
//% if not exponentials_first
        if (next_logits) {
            multiply_qk_step(*next_logits, pipe, k);
        }
//% endif
        // A share of the exponentials. Bounds that change with k would keep this from unrolling.
        UNROLL for (int n = 0; n < kExponentials; ++n) {
            if (n >= k * kExponentials / kQkSteps && n < (k + 1) * kExponentials / kQkSteps) {
                exponentiate(prob, acc, logits, n % kRowTiles, n / kRowTiles, p);
            }
        }
//% if exponentials_first
        if (next_logits) {
            multiply_qk_step(*next_logits, pipe, k);
        }
//% endif
    }
//% if plan.score
    if (next_logits) {
        apply_score(*next_logits, p, tile, next.kv);
    }
//% endif
    multiply_pv(acc, prob, pipe);
    pipe.v = other_stage(pipe.v);
    pipe.now = next;
}

// ---- epilogue ----------------------------------------------------------------------------------

// The warp's rows of O leave through its rows where Q was, in 16-byte stores.
DEVICE void epilogue(const Params& p, Accumulator& acc, u32 out) {
    const Tile tile = tile_of_cta(p);
    const int warp_q = warp_row();
    const u32 warp_tile = out + warp_q * kPanelRow;
    __syncwarp();
    put_output(warp_tile, acc, p, tile);
    __syncwarp();
    const int rows = min(kRowTiles * 16, tile.n_q - tile.first_q - warp_q);
    // A panel at a time, so that lanes that are served together lie in different banks.
    #pragma unroll 1
    for (int g = 0; g < kPanels; ++g) {
        for (int at = threadIdx.x % 32; at < rows * kPanelChunks; at += 32) {
            const int row = at / kPanelChunks;
            const int chunk = at % kPanelChunks;
            *(uint4*)(p.o + q_offset(p, tile, warp_q + row) + (g * kPanelChunks + chunk) * 8) =
                load_shared_16(warp_tile + g * kTileQ * kPanelRow + in_panel(row, chunk));
        }
    }
}

extern "C" __global__ void __launch_bounds__(kThreads${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ entry }(const __grid_constant__ Params p) {
    extern __shared__ __align__(1024) u8 shared[];
//% if plan.heaviest_first
    if (cta_x() >= p.tiles[0]) {
        return;
    }
//% endif
    const Tile tile = tile_of_cta(p);
//% if plan.ragged and not plan.heaviest_first
    if (tile.first_q >= tile.n_q) {
        return;
    }
//% endif
//% if plan.forecast or not plan.heaviest_first
    if (!is_computed(p.s_c, tile.b * p.q_blocks + tile.i, p.heads, tile.h)) {
//% if plan.forecast
        write_forecast(p, tile);
//% endif
        return;
    }
//% endif

    Pipeline pipe;
    pipe.lane = lane_of_thread();
    const u32 memory = shared_address(shared);
    pipe.q = memory + kQAt + warp_row() * kPanelRow;
    pipe.k = memory + kKAt;
    pipe.v = memory + kVAt;
    pipe.kv_head = memory + kKvHeadAt;
    const i64 kv_head = (tile.kv_row * p.kv_heads + tile.h / p.heads_per_kv_head) * kHeadDim;
    if (thread_x() == 0) {
        store_shared_8(pipe.kv_head, kv_head);
    }

    Accumulator acc = empty_accumulator();
    pipe.walk = first_kv_tile(p, tile);
    pipe.now = pipe.walk.now;
    if (pipe.now.kv >= 0) {
        load_rows(memory + kQAt, p.q + q_offset(p, tile, 0), p.heads * kHeadDim, kTileQ,
                  tile.n_q - tile.first_q);
        load_kv_tile(pipe.k, p.k + kv_head, pipe.now.kv, p, tile);
        cp_async_commit();
        prefetch(pipe, pipe.v, other_stage(pipe.k), kv_head, p, tile);
        cp_async_wait_all_but_1();
        __syncthreads();

        Logits logits;
        clear_logits(logits);
        UNROLL for (int k = 0; k < kQkSteps; ++k) {
            multiply_qk_step(logits, pipe, k);
        }
//% if plan.score
        apply_score(logits, p, tile, pipe.now.kv);
//% endif
        #pragma unroll 1
        while (pipe.walk.now.kv >= 0) {
            Logits next_logits;
            clear_logits(next_logits);
            take_kv_tile(acc, logits, &next_logits, pipe, p, tile);
            copy_logits(logits, next_logits);
        }
        take_kv_tile(acc, logits, nullptr, pipe, p, tile);
    }
    epilogue(p, acc, memory + kOAt);
}
