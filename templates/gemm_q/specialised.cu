//# The gemm_q room: resident CTAs take tiles of Q in turn, 128 tokens of heads with 256 columns.
//% set q = "X Wᵀ + bias" if plan.bias else "X Wᵀ"
//% set q = "norm(" ~ q ~ ")" if plan.norm else q
//% set q = "rope(" ~ q ~ ")" if plan.rope else q
//% if plan.together
// gemm_q · up to ${ plan.together } projections to heads in one launch
// computes   Q = ${ q } of each, rounded once${ ", where the cache symbol is 1" if plan.sparse }
// options    what a projection does not have is null, and left out for it
//% else
// gemm_q · a projection to heads
// computes   Q = ${ q }, rounded once${ ", where the cache symbol is 1" if plan.sparse }
//% endif
//% if plan.means
// and        the mean of each block of Q, in f32
//% endif
//% if plan.norm
// norm       x · weight / √(mean(x²) + eps) over the D values of a head
//% endif
//% if plan.rope == "half"
// rope       half: turns columns i and i + D/2
//% elif plan.rope
// rope       interleaved: turns columns 2i and 2i + 1
//% endif
//% if plan.sparse
// leaves     other blocks of a head as they were
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
// pipeline   loads  tile 1: k-slices 0 1 2 3 … | tile 2: k-slices 0 1 2 …
//            wgmma            tile 1: k-slices 0 1 2 … | epilogue, stores go on | tile 2: …
//% if absent
// absent     ${ absent | join(", ") }
//% endif
//# text
//% set sparse = plan.sparse
//% set together = plan.together
//% set params = "const Projections& projections" if together else "const Params& p"
//% set all = "projections" if together else "p"

// ---- which tiles -------------------------------------------------------------------------------

// Tile `at` of Q.
DEVICE HeadTile head_tile(const Params& p, u32 at) {
//% if sparse and together
    if (p.s_c != nullptr) {
        return head_tile_of(*(const uint4*)(p.tiles + kListAt + at * 4));
    }
//% elif sparse
    return head_tile_of(*(const uint4*)(p.tiles + kListAt + at * 4));
//% endif
//% if together or not sparse
    const OutputTile rows = tile_at(p, at);
    HeadTile tile = {};
    tile.row_tile = rows.b * p.row_tiles + rows.first_token / kTileQ - p.first_row_tile;
    UNROLL for (int n = 0; n < kTileHeads; ++n) {
        const int head = rows.column * kTileHeads + n;
        if (head < p.heads) {
            add_head(tile, n, head, ${ "(1 << kSubtiles) - 1" if sparse else "1" });
        }
    }
    return tile;
//% endif
}

//% if together
// How many tiles a projection has.
DEVICE u32 count_tiles_of(const Params& p) {
//% if sparse
    if (p.s_c != nullptr) {
        return p.tiles[0];
    }
//% endif
    return p.batch * p.row_tiles * p.column_tiles;
}

DEVICE u32 count_all_tiles(const Projections& projections) {
    u32 tiles = 0;
    #pragma unroll 1
    for (int n = 0; n < kMostProjections; ++n) {
        tiles += count_tiles_of(projections.of[n]);
    }
    return tiles;
}

// Tile `at` of all: those of a projection, then those of the next one.
DEVICE HeadTile head_tile(const Projections& projections, u32 at) {
    int n = 0;
    #pragma unroll 1
    for (u32 tiles; at >= (tiles = count_tiles_of(projections.of[n])); ++n) {
        at -= tiles;
    }
    HeadTile tile = head_tile(projections.of[n], at);
    tile.row_tile |= n << kProjectionAt;
    return tile;
}

//% endif
// The tile of a ticket; of a half there may be nothing.
DEVICE HeadTile tile_of(${ params }, const Tickets& tickets, u32 ticket) {
//% if plan.half_columns
    if (ticket >= tickets.whole) {
        const u32 half = ticket - tickets.whole;
        return half_of(head_tile(${ all }, tickets.whole + half / 2), half % 2);
    }
//% endif
    return head_tile(${ all }, ticket);
}

// ---- load --------------------------------------------------------------------------------------

// Columns `column` and on of the rows of X and of W that the tile multiplies.
DEVICE void load_stage(const Params& p, u32 memory, u32 step, const HeadTile& tile,
                         int column) {
    constexpr int kHeadBytes = kHeadDim * kTileK * 2;
    const int heads = is_whole(tile) ? kTileHeads : kTileHeads / 2;
    wait_free(memory + kFreeAt, kStages, step);
    const u32 stage = stage_of(memory, step);
    const u32 full = memory + kFullAt + 8 * (step % kStages);
    mbarrier_expect(full, kBAt + heads * kHeadBytes);
    const OutputTile rows = output_tile(p, tile, 0);
    tma_load(stage, &p.x_boxes, full, column, rows.first_token - p.first_token, rows.b, 0);
    UNROLL for (int n = 0; n < kTileHeads; ++n) {
        if (n < heads) {
            tma_load(stage + kBAt + n * kHeadBytes, &p.w_boxes, full, column, 0,
                     head_of(tile, n), 0);
        }
    }
}

//% if together
DEVICE void prefetch_tensor_maps(const Projections& projections) {
    #pragma unroll 1
    for (int n = 0; n < kMostProjections; ++n) {
        const Params& p = projections.of[n];
        if (p.row_tiles != 0) {
            prefetch_tensor_map(&p.x_boxes);
            prefetch_tensor_map(&p.w_boxes);
            prefetch_tensor_map(&p.q_boxes);
        }
    }
}

//% endif
DEVICE void produce(${ params }, u32 memory) {
//% if together
    prefetch_tensor_maps(projections);
//% else
    prefetch_tensor_map(&p.x_boxes);
    prefetch_tensor_map(&p.w_boxes);
    prefetch_tensor_map(&p.q_boxes);
//% endif
//% if sparse
    // Only now the list has to be there: the CTA may have started beside the launch that makes it.
    wait_for_launch_before();
//% endif
//% if together
    const Tickets tickets = tickets_of(count_all_tiles(projections));
//% else
    const Tickets tickets = tickets_of(${ "p.tiles[0]" if sparse else "p.batch * p.row_tiles * p.column_tiles" });
//% endif
    u32 step = 0;
    u32 n = 0;
    u32 next;
    #pragma unroll 1
    for (u32 ticket = cta_x(); ticket < tickets.all; ticket = next) {
        const HeadTile tile = tile_of(${ all }, tickets, ticket);
        next = next_ticket(${ "projections.of[0]" if together else "p" }, ticket);
        if (tile.computed == 0) {
            continue;
        }
//% if together
        const Params& p = projection_of(projections, tile);
//% endif
        put_tile(memory, n++, {tile.row_tile, tile.heads[0], tile.heads[1], tile.computed});
        #pragma unroll 1
        for (int column = 0; column < p.width; column += kTileK) {
            load_stage(p, memory, step++, tile, column);
        }
    }
    // There is no other tile.
    put_tile(memory, n, {});
}

// ---- epilogue ----------------------------------------------------------------------------------

constexpr int kBoxRows = kSubtileRows < kGroupRows ? kSubtileRows : kGroupRows;    // stored at once

// The subtiles with rows of this warpgroup.
DEVICE u32 own_subtiles() {
//% if plan.subtile_rows < 128
    return ((1 << kGroupRows / kSubtileRows) - 1) << warpgroup() * (kGroupRows / kSubtileRows);
//% else
    return 1;
//% endif
}

//% if plan.subtile_rows < 128

// Whether any head has rows to compute for this warpgroup.
DEVICE bool is_computed_here(const HeadTile& tile) {
    u32 computed = 0;
    UNROLL for (int n = 0; n < kTileHeads; ++n) {
        computed |= computed_of(tile, n);
    }
    return (computed & own_subtiles()) != 0;
}
//% endif

// Rows `row` and on of a head, 16 bytes a lane: a box cannot begin before the stream.
DEVICE void store_first_rows(const Params& p, const OutputTile& tile, u32 from, int first_row) {
    #pragma unroll 1
    for (int at = thread_x() % 128; at < kBoxRows * kRowChunks; at += 128) {
        const int row = first_row + at / kRowChunks;
        const int chunk = at % kRowChunks;
        if (is_inside(p, tile, row)) {
            const i64 token = (i64)tile.b * p.n_tokens + tile.first_token + row;
            *(uint4*)(p.q + (token * p.heads + tile.column) * kHeadDim + chunk * 8) =
                load_shared_16(from + out_offset(row, chunk));
        }
    }
}

// Starts storing the computed rows of this warpgroup.
DEVICE void store_rows(const Params& p, const OutputTile& tile, u32 from, u32 computed) {
    UNROLL for (int first = 0; first < kGroupRows; first += kBoxRows) {
        const int row = warpgroup() * kGroupRows + first;
        const int token = tile.first_token + row - p.first_token;
        if (!(computed >> row / kSubtileRows & 1) || token >= p.rows) {
            continue;
        }
        if (token < 0) {
            store_first_rows(p, tile, from, row);
        } else if (thread_x() % 128 == 0) {
            UNROLL for (int chunk = 0; chunk < kOutChunks; chunk += 8) {
                tma_store(&p.q_boxes, from + out_offset(row, chunk), chunk * 8, tile.column,
                          token, tile.b);
            }
        }
    }
    if (thread_x() % 128 == 0) {
        bulk_commit();
    }
}
//% if plan.means

// Sums of Q as it is stored over 32 tokens each, of all columns of a head, always added in the same
// order.
DEVICE void sum_quarters(const Params& p, const OutputTile& tile, u32 from, u32 sums) {
    for (int at = thread_x() % 128; at < kGroupRows / 32 * kHeadDim / 2; at += 128) {
        const int pair = at % (kHeadDim / 2);
        const int quarter = warpgroup() * kGroupRows / 32 + at / (kHeadDim / 2);
        float2 sum = {};
        #pragma unroll 8
        for (int row = quarter * 32; row < quarter * 32 + 32; ++row) {
            const u32 v = load_shared(from + out_offset(row, pair / 4) + pair % 4 * 4);
            const bool inside = is_inside(p, tile, row);
            sum.x += inside ? unpack_low(v) : 0.0f;
            sum.y += inside ? unpack_high(v) : 0.0f;
        }
        store_shared_8(sums + (quarter * kHeadDim + pair * 2) * 4, *(const i64*)&sum);
    }
}

// Means over the tokens of the blocks of this warpgroup; of a longer block the first one writes.
DEVICE void write_block_means(const Params& p, const OutputTile& tile, u32 sums, u32 computed) {
    constexpr int kQuarters = kBlockQ / 32;
    const int end = p.first_token + p.rows - tile.first_token;
    for (int at = thread_x() % 128; at < kGroupRows / 32 * kHeadDim / 2; at += 128) {
        const int pair = at % (kHeadDim / 2);
        const int quarter = warpgroup() * kGroupRows / 32 + at / (kHeadDim / 2);
        const int first = quarter * 32;
        if (quarter % kQuarters != 0 || !is_inside(p, tile, first) ||
            !(computed >> first / kSubtileRows & 1)) {
            continue;
        }
        float2 sum = {};
        UNROLL for (int n = 0; n < kQuarters; ++n) {
            const i64 both = load_shared_8(sums + ((quarter + n) * kHeadDim + pair * 2) * 4);
            sum.x += ((const float2*)&both)->x;
            sum.y += ((const float2*)&both)->y;
        }
        const float n = (float)min(kBlockQ, end - first);
        const i64 head = ((i64)tile.b * p.heads + tile.column) * p.q_blocks;
        const i64 block = head + (tile.first_token + first) / kBlockQ;
        *(float2*)(p.block_means + block * kHeadDim + pair * 2) = {sum.x / n, sum.y / n};
    }
}
//% endif

//% if plan.bias or plan.norm or plan.rope
// Q of the heads of a tile from their products, also where there is no head.
DEVICE void finish(const Params& p, Product (&products)[kTileHeads], u32 memory, u32 n,
                   bool whole) {
//% if plan.bias or plan.rope
    const HeadTile heads = head_tile_of(tile_again(memory, n));
//% endif
//% if plan.bias or plan.norm
    UNROLL for (int h = 0; h < (whole ? kTileHeads : kTileHeads / 2); ++h) {
//% if plan.bias and together
        if (p.bias != nullptr) {
            add_bias(products[h], p.bias + head_of(heads, h) * kHeadDim, kTileN);
        }
//% elif plan.bias
        add_bias(products[h], p.bias + head_of(heads, h) * kHeadDim, kTileN);
//% endif
//% if plan.norm and together
        if (p.norm_weight != nullptr) {
            normalise(products[h], p);
        }
//% elif plan.norm
        normalise(products[h], p);
//% endif
    }
//% endif
//% if plan.rope
//% if together
    if (p.rope_cos == nullptr) {
        return;
    }
//% endif
    rotate(products${ "" if plan.tile_heads > 1 else "[0]" }, p, output_tile(p, heads, 0));
//% endif
}

//% endif
// Starts storing Q of the h-th head, and makes its means.
DEVICE void store_head(const Params& p, const Product& product, u32 memory, u32 n, int h) {
//% if plan.tile_heads > 1
    wait_for_out();
//% endif
    const u32 out = memory + kOutAt;
    put_fragments(out + warp_row() * 128, product.c[0], kTileN);
    proxy_fence();
    sync_warpgroup();
    const HeadTile heads = head_tile_of(tile_again(memory, n));
    const OutputTile tile = output_tile(p, heads, h);
    store_rows(p, tile, out, computed_of(heads, h));
//% if plan.means
//% if together
    if (p.block_means == nullptr) {
        return;
    }
//% endif
    const u32 sums = memory + kSumsAt + n % kSlots * kSumsBytes + h * kHeadSums;
    sum_quarters(p, tile, out, sums);
//% if plan.block_q == 128
    barrier_sync(3, kConsumerWarps * 32);
//% elif plan.block_q == 64
    sync_warpgroup();
//% else
    __syncwarp();
//% endif
    write_block_means(p, tile, sums, computed_of(heads, h));
//% endif
}

// The heads of a tile, or of no more than half of one.
DEVICE void compute(const Params& p, u32 memory, u32& step, u32 n, bool whole) {
    // Q = X Wᵀ
    Product products[kTileHeads] = {};
    multiply_slices(&products[0].c[0][0][0], step, memory, slices_of(p.width), whole);
//% if plan.tile_heads == 1
    wait_for_out();    // here, where registers are left
//% endif
//% if plan.bias or plan.norm or plan.rope
    finish(p, products, memory, n, whole);
//% endif
    UNROLL for (int h = 0; h < (whole ? kTileHeads : kTileHeads / 2); ++h) {
        if (computed_of(head_tile_of(tile_again(memory, n)), h) & own_subtiles()) {
            store_head(p, products[h], memory, n, h);
        }
    }
}

//% if plan.head_dim % 64 != 0
// Boxes are whole panels, also where a head has fewer columns: those are read, and stored nowhere.
DEVICE void clear_last_panels(u32 memory) {
    constexpr int kUnused = kOutChunks - kRowChunks;
    const int first_row = warpgroup() * kGroupRows;
    for (int at = thread_x() % 128; at < kGroupRows * kUnused; at += 128) {
        const int row = first_row + at % kGroupRows;
        store_shared_16(memory + kOutAt + out_offset(row, kRowChunks + at / kGroupRows), {});
    }
}

//% endif
DEVICE void consume(${ params }, u32 memory) {
//% if plan.head_dim % 64 != 0
    clear_last_panels(memory);
//% endif
    u32 step = 0;
    #pragma unroll 1
    for (u32 n = 0;; ++n) {
        const HeadTile tile = head_tile_of(take_tile(memory, n));
        if (tile.computed == 0) {
            break;
        }
//% if together
        const Params& p = projection_of(projections, tile);
//% endif
//% if plan.subtile_rows < 128
        if (!is_computed_here(tile)) {
            skip_slices(step, memory, slices_of(p.width));
            release_tile(memory, n);
            continue;
        }
//% endif
//% if plan.half_columns
        if (!is_whole(tile)) {
            compute(p, memory, step, n, false);
            release_tile(memory, n);
            continue;
        }
//% endif
        compute(p, memory, step, n, true);
        release_tile(memory, n);
    }
    if (thread_x() % 128 == 0) {
        bulk_wait();
    }
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
${ entry }(const __grid_constant__ ${ "Projections projections" if together else "Params p" }) {
    extern __shared__ __align__(1024) u8 shared[];
    const u32 memory = shared_address(shared);
    make_barriers(memory);
    // The same in all lanes, which the compiler has to see: branches on it are uniform.
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0);
    if (warp < kConsumerWarps) {
        take_registers();
        consume(${ all }, memory);
    } else {
        give_registers();
        if (warp == kConsumerWarps && elect_one()) {
            produce(${ all }, memory);
        }
    }
}
