//# The gemm_o room: a CTA computes one tile of Y, or of a partial: 128 tokens, 128 columns.
// gemm_o · the projection back from heads
//% if plan.differences
// computes   P_k = Σ D^k_h W_hᵀ over heads whose cache symbol is 0, k = 1, 2, …
//            D^k = Σ_j weight · output_j
//% elif not plan.sparse
// computes   Y = O Wᵀ
//% elif plan.summed == "both"
// computes   partial = Σ O_h W_hᵀ over heads whose cache symbol is 0
//            Y = partial + Σ O_h W_hᵀ over the others
//% else
// computes   Y = Σ O_h W_hᵀ over heads whose cache symbol is ${ "0" if plan.summed == "cached" else "1" }
//% endif
//% if plan.partials
// adds       Σ coefficient · partial
//% endif
//% if plan.bias
// adds       bias
//% endif
//% if plan.sparse
// skips      heads that no block of the tile sums: their O is not read
//% endif
//% if launches | length > 1
// launches   ${ launches | join(", ") }
//% endif
// shape      D=${ plan.head_dim }, ${ plan.dtype }; B, H, N, C and the stream at run time
//% set tile = [plan.tile_q, plan.tile_n, plan.tile_k] | join(" × ")
//% if plan.block_q
// blocks     q ${ plan.block_q }      tile  ${ tile }      stages ${ plan.stages }
//% else
// tile       ${ tile }      stages ${ plan.stages }
//% endif
// target     ${ plan.target }   threads ${ plan.threads }   shared ${ plan.shared.bytes } B
//% for line in shared_map
// ${ "shared" if loop.first else "      " }     ${ line }
//% endfor
//% if absent
// absent     ${ absent | join(", ") }
//% endif
//# text
//% set sparse = plan.sparse
//% set both = plan.summed == "both"

// ---- setup -------------------------------------------------------------------------------------

// O Wᵀ for the rows and columns of the tile.
DEVICE Operands operands_of(const Params& p, const OutputTile& tile) {
    const int columns = p.heads * kHeadDim;
    const int first_column = tile.column * kTileN;
    const i64 row = (i64)tile.b * p.n_tokens + tile.first_token;
//% if plan.differences
    const u16* o = p.output_differences + (i64)cta_z() * p.batch * p.n_tokens * columns;
    return operands_from(p, tile, o + row * columns, p.w + (i64)first_column * columns, columns,
                         p.width - first_column);
//% else
    return operands_from(p, tile, p.o + row * columns, p.w + (i64)first_column * columns, columns,
                         p.width - first_column);
//% endif
}

//% if sparse

// ---- compute -----------------------------------------------------------------------------------

// The k-slices in flight: bit n speaks of the one that comes n steps from now.
struct InFlight {
    u32 slices;    // there is one
    u32 mine;      // and this warp has rows that sum its head
};

// One step on: prefetches the k-slice where the walk stands.
DEVICE void prefetch(InFlight& in_flight, HeadWalk& walk, u32 to, const Operands& operands,
                     const Params& p, const OutputTile& tile) {
    in_flight.slices >>= 1;
    in_flight.mine >>= 1;
    if (walk.column >= 0) {
        load_k_slice(to, operands, walk.column, passes_of(walk.subtiles));
        const bool mine = holds_rows(p, tile, warp_row(), kRowTiles * 16) &&
                          (walk.subtiles >> warp_row() / kSubtileRows & 1);
        in_flight.slices |= 1 << (kStages - 1);
        in_flight.mine |= (u32)mine << (kStages - 1);
        next_k_slice(walk, p, tile);
    }
    cp_async_commit();
}

// C += Σ O_h W_hᵀ over the heads of the walk. A warp whose rows do not sum a head skips its
// products.
DEVICE void sum_heads(Product& product, HeadWalk walk, const Operands& operands, u32 first_stage,
                      const Params& p, const OutputTile& tile) {
    const Lane lane = lane_of_operands();
    InFlight in_flight = {};
    UNROLL for (int stage = 0; stage < kStages - 1; ++stage) {
        prefetch(in_flight, walk, first_stage + stage * kStageBytes, operands, p, tile);
    }
    u32 stage = first_stage;
    u32 empty = first_stage + (kStages - 1) * kStageBytes;
    #pragma unroll 1
    while (in_flight.slices > 1) {
        // This k-slice has come, and nobody reads the one before it any more.
        ${ "cp_async_wait_all_but_1" if plan.stages == 3 else "cp_async_wait_all" }();
        __syncthreads();
        prefetch(in_flight, walk, empty, operands, p, tile);
        if (in_flight.mine & 1) {
            multiply_k_slice(product, stage, lane);
        }
        empty = stage;
        stage = stage_after(stage, first_stage);
    }
    __syncthreads();
}
//% endif

// ---- epilogue ----------------------------------------------------------------------------------

// The warp's rows of the product, rounded, 16 bytes a lane.
DEVICE void store_rows(u16* y, const Product& product, const Params& p, const OutputTile& tile,
                       u32 rows) {
    put_rounded(rows, product);
    for (int at = threadIdx.x % 32; at < kRowTiles * 16 * kOutChunks; at += 32) {
        const int row = at / kOutChunks;
        const int chunk = at % kOutChunks;
        if (is_in_y(p, tile, warp_row() + row, chunk)) {
            *(uint4*)(y + y_offset(p, tile, warp_row() + row, chunk)) =
                load_shared_16(rows + out_offset(row, chunk));
        }
    }
}

extern "C" __global__ void __launch_bounds__(kThreads${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ entry }(const __grid_constant__ Params p) {
    extern __shared__ __align__(1024) u8 shared[];
    const OutputTile tile = tile_at(p, cta_x());
    const Operands operands = operands_of(p, tile);
    const u32 memory = shared_address(shared);
    const u32 out = memory + kOutAt + warp_row() * 128;
    Product product;
//% if both
    product = {};

    // partial = Σ O_h W_hᵀ over cached heads
    sum_heads(product, over_cached_heads(p, tile), operands, memory, p, tile);
    store_rows(p.partial_out, product, p, tile, out);
    __syncthreads();

    // Y = partial + Σ O_h W_hᵀ over active heads
    sum_heads(product, over_active_heads(p, tile), operands, memory, p, tile);
//% elif sparse
    product = {};

    // ${ "partial" if plan.differences else "Y" } = Σ O_h W_hᵀ over ${ plan.summed } heads
    sum_heads(product, over_${ plan.summed }_heads(p, tile), operands, memory, p, tile);
//% else

    // Y = O Wᵀ
    multiply_all(product, operands, memory, holds_rows(p, tile, warp_row(), kRowTiles * 16));
//% endif
//% if plan.partials
    add_partials(product, p, tile, out);
//% endif
//% if plan.bias
    add_bias(product, p.bias + tile.column * kTileN, p.width - tile.column * kTileN);
//% endif
    store_rows(${ "p.partials_out[cta_z()]" if plan.differences else "p.y" }, product, p, tile, out);
}
