//# The gemm_q room: a CTA computes one tile of Q, 128 tokens (64 if D is 256) of one head.
//% set q = "X Wᵀ + bias" if plan.bias else "X Wᵀ"
//% set q = "norm(" ~ q ~ ")" if plan.norm else q
//% set q = "rope(" ~ q ~ ")" if plan.rope else q
// gemm_q · a projection to heads
// computes   Q = ${ q }, rounded once${ ", where the cache symbol is 1" if plan.sparse }
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

// ---- setup -------------------------------------------------------------------------------------

// X Wᵀ for the rows of the tile and the columns of its head.
DEVICE Operands operands_of(const Params& p, const OutputTile& tile) {
    const i64 row = (i64)tile.b * p.rows + tile.first_token - p.first_token;
    return operands_from(p, tile, p.x + row * p.width,
                         p.w + (i64)tile.column * kHeadDim * p.width, p.width);
}

// ---- epilogue ----------------------------------------------------------------------------------

// The warp's rows of Q, 16 bytes a lane.
DEVICE void store_rows(const Params& p, const OutputTile& tile, u32 from) {
    for (int at = threadIdx.x % 32; at < kRowTiles * 16 * kOutChunks; at += 32) {
        const int row = at / kOutChunks;
        const int chunk = at % kOutChunks;
        if (is_inside(p, tile, warp_row() + row)${ " && chunk < kRowChunks" if plan.head_dim % 64 != 0 }) {
            const i64 token = (i64)tile.b * p.n_tokens + tile.first_token + warp_row() + row;
            *(uint4*)(p.q + (token * p.heads + tile.column) * kHeadDim + chunk * 8) =
                load_shared_16(from + out_offset(row, chunk));
        }
    }
}
//% if plan.means

// Means over the tokens of a block, of Q as it is stored, always added in the order of the tokens.
DEVICE void write_block_means(const Params& p, const OutputTile& tile,
                              u32 from${ ", u32 computed" if sparse }) {
    for (int at = threadIdx.x; at < kTileQ / kBlockQ * kOutChunks * 4; at += kThreads) {
        const int pair = at % (kOutChunks * 4);
        const int first = at / (kOutChunks * 4) * kBlockQ;
        if (!is_inside(p, tile, first)${ " || pair >= kHeadDim / 2" if plan.head_dim % 64 != 0 }) {
            continue;
        }
//% if sparse
        if (!(computed >> first / kSubtileRows & 1)) {
            continue;
        }
//% endif
        const int end = min(first + kBlockQ, p.first_token + p.rows - tile.first_token);
        float2 sum = {};
        #pragma unroll 8
        for (int row = first; row < end; ++row) {
            const u32 v = load_shared(from + out_offset(row, pair / 4) + pair % 4 * 4);
            sum.x += unpack_low(v);
            sum.y += unpack_high(v);
        }
        const float n = (float)(end - first);
        const i64 head = ((i64)tile.b * p.heads + tile.column) * p.q_blocks;
        const i64 block = head + (tile.first_token + first) / kBlockQ;
        *(float2*)(p.block_means + block * kHeadDim + pair * 2) = {sum.x / n, sum.y / n};
    }
}
//% endif

// Q of the tile from its product. The loop's registers are full: the tile is worked out again.
DEVICE void epilogue(const Params& p, Product& product, u32 out,
//% if sparse and plan.means
                     u32 computed, bool computes) {
//% else
                                                bool computes) {
//% endif
    const OutputTile tile = tile_at(p, ${ "p.tiles[1 + cta_x()]" if sparse else "cta_x()" });
    if (computes) {
//% if plan.bias
        add_bias(product, p.bias + tile.column * kHeadDim, kTileN);
//% endif
//% if plan.norm
        normalise(product, p);
//% endif
//% if plan.rope
        rotate(product, p, tile);
//% endif
        const u32 rows = out + warp_row() * 128;
        put_rounded(rows, product);
        store_rows(p, tile, rows);
    }
//% if plan.means
    __syncthreads();
    write_block_means(p, tile, out${ ", computed" if sparse });
//% endif
}

extern "C" __global__ void __launch_bounds__(kThreads${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ entry }(const __grid_constant__ Params p) {
    extern __shared__ __align__(1024) u8 shared[];
//% if sparse
    if (cta_x() >= p.tiles[0]) {
        return;
    }
    const OutputTile tile = tile_at(p, p.tiles[1 + cta_x()]);
    const u32 computed = computed_subtiles(p, tile);
    const bool computes = holds_rows(p, tile, warp_row(), kRowTiles * 16) &&
                          (computed >> warp_row() / kSubtileRows & 1);
    Operands operands = operands_of(p, tile);
    operands.a_rows &= passes_of(computed);
//% else
    const OutputTile tile = tile_at(p, cta_x());
    const bool computes = holds_rows(p, tile, warp_row(), kRowTiles * 16);
    const Operands operands = operands_of(p, tile);
//% endif
    const u32 memory = shared_address(shared);

    // Q = X Wᵀ
    Product product;
    multiply_all(product, operands, memory, computes);
    epilogue(p, product, memory + kOutAt${ ", computed" if sparse and plan.means }, computes);
}
