//# The gemm_o room: resident CTAs take tiles of Y in turn, 128 tokens and 256 columns.
// gemm_o · the projection back from heads
//% if not plan.sparse
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
// skips      heads that the block of the tile does not sum: their O is not read
//% endif
//% if launches | length > 1
// launches   ${ launches | join(", ") }
//% endif
// shape      D=${ plan.head_dim }, ${ plan.dtype }; B, H, N, C and the stream at run time
//% set tile = [plan.tile_q, plan.tile_columns, plan.tile_k] | join(" × ")
//% if plan.block_q
// blocks     q ${ plan.block_q }      tile  ${ tile }      stages ${ plan.stages }
//% else
// tile       ${ tile }      stages ${ plan.stages }
//% endif
// target     ${ plan.target }   threads ${ plan.threads }   shared ${ plan.shared.bytes } B
//% for line in shared_map
// ${ "shared" if loop.first else "      " }     ${ line }
//% endfor
// roles      warpgroups 0 and 1 multiply, 64 rows each, ${ plan.roles.consumer } registers
//            one thread of warpgroup 2 takes tiles and loads, ${ plan.roles.producer } registers
// pipeline   loads  tile 1: k-slices 0 1 2 …${ ", partials" if plan.partials } | tile 2: k-slices 0 1 2 …
//            wgmma            tile 1: k-slices 0 1 2 … | epilogue, stores go on | tile 2: …
//% if absent
// absent     ${ absent | join(", ") }
//% endif
//# text
//% set sparse = plan.sparse
//% set both = plan.summed == "both"

// ---- which tiles -------------------------------------------------------------------------------

// A tile of Y, or half of one, as it is handed on.
struct YTile {
    u32 row_tile;        // of all batch items
    u32 first_column;
    u32 slices;          // k-slices of the sum${ " over active heads" if both }
    u32 halves;          // of kTileN columns; 0: there is no other tile
};

constexpr int kHalf = kTileN / 2;
constexpr int kHeadSlices = (kHeadDim + kTileK - 1) / kTileK;    // of a head

DEVICE YTile y_tile_of(uint4 v) { return {v.x, v.y, v.z, v.w}; }

DEVICE OutputTile rows_of(const Params& p, const YTile& tile) {
    const int first_row = p.first_row_tile + tile.row_tile % p.row_tiles;
    return {(int)(tile.row_tile / p.row_tiles), first_row * kTileQ, 0};
}

// The tile of a ticket. Of a half there may be nothing.
DEVICE YTile tile_of(const Params& p, const Tickets& tickets, u32 ticket) {
    const bool half = ticket >= tickets.whole;
    const u32 at = half ? tickets.whole + (ticket - tickets.whole) / 2 : ticket;
    const OutputTile output = tile_at(p, at);
    YTile tile = {};
    tile.row_tile = output.b * p.row_tiles + output.first_token / kTileQ - p.first_row_tile;
//% if plan.listed
    tile.row_tile = p.tiles[tile.row_tile];
//% endif
    tile.first_column = output.column * kTileN + (half ? (ticket - tickets.whole) % 2 * kHalf : 0);
    const int columns = p.width - (int)tile.first_column;
    tile.halves = columns <= 0 ? 0 : columns <= kHalf || half ? 1 : 2;
    return tile;
}

// ---- load --------------------------------------------------------------------------------------

// Waits until the stage of this step is empty. Then `bytes` of it will come.
DEVICE u32 stage_to_fill(u32 memory, u32 step, u32 bytes) {
    wait_free(memory + kFreeAt, kStages, step);
    mbarrier_expect(memory + kFullAt + 8 * (step % kStages), bytes);
    return stage_of(memory, step);
}

// The k-slices of a head.
DEVICE void load_head(const Params& p, u32 memory, u32& step, const YTile& tile, int head) {
    constexpr int kHalfBytes = kHalf * kTileK * 2;
    const OutputTile rows = rows_of(p, tile);
    #pragma unroll 1
    for (int slice = 0; slice < kHeadSlices; ++slice, ++step) {
        const u32 stage = stage_to_fill(memory, step, kBAt + tile.halves * kHalfBytes);
        const u32 full = memory + kFullAt + 8 * (step % kStages);
        const int column = slice * kTileK;
        tma_load(stage, &p.o_boxes, full, column, head, rows.first_token, rows.b);
        #pragma unroll 1
        for (int half = 0; half < tile.halves; ++half) {
            tma_load(stage + kBAt + half * kHalfBytes, &p.w_boxes, full, column, head,
                     tile.first_column + half * kHalf, 0);
        }
    }
}
//% if sparse

DEVICE void load_heads(const Params& p, u32 memory, u32& step, const YTile& tile, HeadWalk walk) {
    const OutputTile rows = rows_of(p, tile);
    while (walk.column >= 0) {
        load_head(p, memory, step, tile, walk.column / kHeadDim);
        next_head(walk, p, rows);
    }
}
//% endif
//% if plan.partials

// Partials come through the same stages: a half of a tile is two panels.
DEVICE void load_partials(const Params& p, u32 memory, u32& step, const YTile& tile) {
    constexpr int kPanelBytes = kTileQ * 128;
    const OutputTile rows = rows_of(p, tile);
    for (int k = 0; k < p.n_partials; ++k) {
        #pragma unroll 1
        for (int half = 0; half < tile.halves; ++half, ++step) {
            const u32 stage = stage_to_fill(memory, step, kHalf / 64 * kPanelBytes);
            const u32 full = memory + kFullAt + 8 * (step % kStages);
            UNROLL for (int n = 0; n < kHalf / 64; ++n) {
                tma_load(stage + n * kPanelBytes, &p.partial_boxes[k], full,
                         tile.first_column + half * kHalf + n * 64,
                         rows.first_token - p.first_token, rows.b, 0);
            }
        }
    }
}
//% endif

DEVICE void load_tile(const Params& p, u32 memory, u32& step, u32 n, YTile tile) {
//% if sparse
    const OutputTile rows = rows_of(p, tile);
    // Counted apart from the walk: a single thread takes long over that.
    tile.slices = count_heads(p, rows) * kHeadSlices;
    put_tile(memory, n, {tile.row_tile, tile.first_column, tile.slices, tile.halves});
//% if both
    load_heads(p, memory, step, tile, over_cached_heads(p, rows));
//% endif
    load_heads(p, memory, step, tile, over_${ "active" if both else plan.summed }_heads(p, rows));
//% else
    tile.slices = p.heads * kHeadSlices;
    put_tile(memory, n, {tile.row_tile, tile.first_column, tile.slices, tile.halves});
    #pragma unroll 1
    for (int head = 0; head < p.heads; ++head) {
        load_head(p, memory, step, tile, head);
    }
//% endif
//% if plan.partials
    load_partials(p, memory, step, tile);
//% endif
}

DEVICE void produce(const Params& p, u32 memory) {
    prefetch_tensor_map(&p.o_boxes);
    prefetch_tensor_map(&p.w_boxes);
    prefetch_tensor_map(&p.y_boxes);
//% if plan.listed
    // Only now the list has to be there: the CTA may have started beside the launch that makes it.
    wait_for_launch_before();
//% endif
    const Tickets tickets = tickets_of(p.batch * p.row_tiles * p.column_tiles);
    u32 step = 0;
    u32 n = 0;
    u32 next;
    #pragma unroll 1
    for (u32 ticket = cta_x(); ticket < tickets.all; ticket = next) {
        const YTile tile = tile_of(p, tickets, ticket);
        next = next_ticket(p, ticket);
        if (tile.halves != 0) {
            load_tile(p, memory, step, n++, tile);
        }
    }
    // There is no other tile.
    put_tile(memory, n, {});
}

// ---- epilogue ----------------------------------------------------------------------------------
//% if plan.partials

// Y += Σ_k coefficient_k · partial_k, half a tile in each stage.
DEVICE void add_partials_of(Product& product, const Params& p, u32 memory, u32& step, bool whole) {
    const int lane = thread_x() % 32;
    #pragma unroll 1
    for (int k = 0; k < p.n_partials; ++k) {
        UNROLL for (int half = 0; half < (whole ? 2 : 1); ++half, ++step) {
            wait_full(memory + kFullAt, kStages, step);
            const u32 rows = stage_of(memory, step) + warp_row() * 128;
            UNROLL for (int n = 0; n < kHalf / 16; ++n) {
                u32 pairs[4];
                ldmatrix_x4(pairs, rows + out_offset(lane % 16, 2 * n + lane / 16));
                UNROLL for (int e = 0; e < 4; ++e) {
                    float(&c)[4] = product.c[0][half * (kHalf / 8) + 2 * n + e / 2];
                    c[e % 2 * 2] += p.coefficients[k] * unpack_low(pairs[e]);
                    c[e % 2 * 2 + 1] += p.coefficients[k] * unpack_high(pairs[e]);
                }
            }
            release(memory + kFreeAt, kStages, step);
        }
    }
}
//% endif

// This warpgroup's rows where they begin before the stream, as no box can: 16 bytes a lane.
DEVICE void store_first_rows(u16* y, const Params& p, const OutputTile& rows, int first_column,
                             u32 from) {
    #pragma unroll 1
    for (int at = thread_x() % 128; at < kGroupRows * (kHalf / 8); at += 128) {
        const int row = warpgroup() * kGroupRows + at / (kHalf / 8);
        const int chunk = at % (kHalf / 8);
        const int column = first_column + chunk * 8;
        if (is_inside(p, rows, row) && column < p.width) {
            const i64 token = (i64)rows.b * p.rows + rows.first_token + row - p.first_token;
            *(uint4*)(y + token * p.width + column) = load_shared_16(from + out_offset(row, chunk));
        }
    }
}

// Starts storing this warpgroup's rows of half a tile, whose first column this is, rounded.
DEVICE void store_half(u16* y, const TensorMap* boxes, const float (*fragments)[4],
                       const Params& p, u32 memory, const OutputTile& rows, int first_column) {
    const u32 out = memory + kOutAt;
    wait_for_out();
    put_fragments(out + warp_row() * 128, fragments, kHalf);
    proxy_fence();
    sync_warpgroup();
    const int row = warpgroup() * kGroupRows;
    const int token = rows.first_token + row - p.first_token;
    if (token < 0) {
        store_first_rows(y, p, rows, first_column, out);
    } else if (thread_x() % 128 == 0 && token < p.rows) {
        UNROLL for (int chunk = 0; chunk < kHalf / 8; chunk += 8) {
            if (first_column + chunk * 8 < p.width) {
                tma_store(boxes, out + out_offset(row, chunk), first_column + chunk * 8, token,
                          rows.b, 0);
            }
        }
        bulk_commit();
    }
}

DEVICE void store_rows(u16* y, const TensorMap* boxes, const Product& product, const Params& p,
                       u32 memory, u32 n, bool whole) {
    const YTile tile = y_tile_of(tile_again(memory, n));
    const OutputTile rows = rows_of(p, tile);
    UNROLL for (int half = 0; half < (whole ? 2 : 1); ++half) {
        store_half(y, boxes, &product.c[0][half * (kHalf / 8)], p, memory, rows,
                   tile.first_column + half * kHalf);
    }
}

//% if sparse
// C += Σ O_h W_hᵀ; a block may sum no heads.
DEVICE void sum_heads(float* c, u32& step, u32 memory, int slices, bool whole) {
    if (slices != 0) {
        multiply_slices(c, step, memory, slices, whole);
    }
}

//% endif
// A tile, or half of one.
DEVICE void compute(const Params& p, u32 memory, u32& step, u32 n, bool whole) {
    Product product = {};
    float* c = &product.c[0][0][0];
//% if both

    // partial = Σ O_h W_hᵀ over cached heads
    const int all = p.heads * kHeadSlices;
    sum_heads(c, step, memory, all - y_tile_of(tile_again(memory, n)).slices, whole);
    store_rows(p.partial_out, &p.partial_out_boxes, product, p, memory, n, whole);

    // Y = partial + Σ O_h W_hᵀ over active heads
    sum_heads(c, step, memory, y_tile_of(tile_again(memory, n)).slices, whole);
//% else

    // Y = ${ "Σ O_h W_hᵀ over " ~ plan.summed ~ " heads" if sparse else "O Wᵀ" }
    ${ "sum_heads" if sparse else "multiply_slices" }(c, step, memory, y_tile_of(tile_again(memory, n)).slices, whole);
//% endif
//% if plan.partials
    add_partials_of(product, p, memory, step, whole);
//% endif
//% if plan.bias
    const int first_column = y_tile_of(tile_again(memory, n)).first_column;
    add_bias(product, p.bias + first_column, p.width - first_column);
//% endif
    store_rows(p.y, &p.y_boxes, product, p, memory, n, whole);
}

DEVICE void consume(const Params& p, u32 memory) {
    u32 step = 0;
    #pragma unroll 1
    for (u32 n = 0;; ++n) {
        const u32 halves = y_tile_of(take_tile(memory, n)).halves;
        if (halves == 0) {
            break;
        }
        if (halves == 1) {
            compute(p, memory, step, n, false);
        } else {
            compute(p, memory, step, n, true);
        }
        release_tile(memory, n);
    }
    if (thread_x() % 128 == 0) {
        bulk_wait();
    }
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
${ entry }(const __grid_constant__ Params p) {
    extern __shared__ __align__(1024) u8 shared[];
    const u32 memory = shared_address(shared);
    make_barriers(memory);
    // The same in all lanes, which the compiler has to see: branches on it are uniform.
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0);
    if (warp < kConsumerWarps) {
        take_registers();
        consume(p, memory);
    } else {
        give_registers();
        if (warp == kConsumerWarps && elect_one()) {
            produce(p, memory);
        }
    }
}
