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
static __device__ __forceinline__ Operands operands_of(const Params& p, const OutputTile& tile) {
    const i64 row = (i64)tile.b * p.rows + tile.first_token - p.first_token;
    return operands_from(p, tile, p.x + row * p.width,
                         p.w + (i64)tile.column * kHeadDim * p.width, p.width);
}
//% if plan.bias

// ---- bias --------------------------------------------------------------------------------------

// Q += bias
static __device__ __forceinline__ void add_bias(Product& product, const u16* bias) {
    #pragma unroll
    for (int n = 0; n < kTileN / 8; ++n) {
        const u32 pair = *(const u32*)(bias + n * 8 + fragment_column());
        #pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
            #pragma unroll
            for (int r = 0; r < 2; ++r) {
                product.c[m][n][2 * r] += unpack_low(pair);
                product.c[m][n][2 * r + 1] += unpack_high(pair);
            }
        }
    }
}
//% endif
//% if plan.norm

// ---- normalisation -----------------------------------------------------------------------------

// Q ← Q · weight / √(mean(Q²) + eps) in each row. A row lies in the four lanes of a quad.
static __device__ __forceinline__ void normalise(Product& product, const Params& p) {
    float scale[kRowTiles][2];
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            float squares = 0.0f;
            #pragma unroll
            for (int n = 0; n < kTileN / 8; ++n) {
                const float* c = product.c[m][n];
                squares += c[2 * r] * c[2 * r] + c[2 * r + 1] * c[2 * r + 1];
            }
            scale[m][r] = rsqrt_approx(quad_sum(squares) * (1.0f / kHeadDim) + p.eps);
        }
    }
    #pragma unroll
    for (int n = 0; n < kTileN / 8; ++n) {
        const u32 weight = *(const u32*)(p.norm_weight + n * 8 + fragment_column());
        #pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
            #pragma unroll
            for (int r = 0; r < 2; ++r) {
                product.c[m][n][2 * r] *= scale[m][r] * unpack_low(weight);
                product.c[m][n][2 * r + 1] *= scale[m][r] * unpack_high(weight);
            }
        }
    }
}
//% endif
//% if plan.rope

// ---- rotary embedding --------------------------------------------------------------------------

// (a, b) ← (a · cos - b · sin, b · cos + a · sin)
static __device__ __forceinline__ void turn(float& a, float& b, float cos, float sin) {
    const float turned = a * cos - b * sin;
    b = b * cos + a * sin;
    a = turned;
}

//% if plan.rope == "interleaved"
// Turns columns 2i and 2i + 1 of each row by its angle i: both are this lane's.
//% else
// Turns columns i and i + D/2 of each row by its angle i: both are this lane's.
//% endif
static __device__ __forceinline__ void rotate(Product& product, const Params& p,
                                              const OutputTile& tile) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int row = warp_row() + fragment_row() + m * 16 + r * 8;
            const i64 token = min(tile.first_token + row, p.n_tokens - 1);
//% if plan.rope == "interleaved"
            const i64 first = token * (kHeadDim / 2) + fragment_column() / 2;
            #pragma unroll
            for (int n = 0; n < kTileN / 8; ++n) {
                float(&c)[4] = product.c[m][n];
                turn(c[2 * r], c[2 * r + 1], p.rope_cos[first + n * 4],
                     p.rope_sin[first + n * 4]);
            }
//% else
            const i64 first = token * (kHeadDim / 2) + fragment_column();
            #pragma unroll
            for (int n = 0; n < kTileN / 16; ++n) {
                const float2 cos = *(const float2*)(p.rope_cos + first + n * 8);
                const float2 sin = *(const float2*)(p.rope_sin + first + n * 8);
                float(&a)[4] = product.c[m][n];
                float(&b)[4] = product.c[m][n + kTileN / 16];
                turn(a[2 * r], b[2 * r], cos.x, sin.x);
                turn(a[2 * r + 1], b[2 * r + 1], cos.y, sin.y);
            }
//% endif
        }
    }
}
//% endif

// ---- finish ------------------------------------------------------------------------------------

// The warp's rows of Q, 16 bytes a lane.
static __device__ __forceinline__ void store_rows(const Params& p, const OutputTile& tile,
                                                  u32 from) {
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
static __device__ __forceinline__ void write_block_means(const Params& p, const OutputTile& tile,
                                                         u32 from${ ", u32 computed" if sparse }) {
    for (int at = threadIdx.x; at < kTileQ / kBlockQ * kOutBytes / 4; at += kThreads) {
        const int pair = at % (kOutBytes / 4);
        const int first = at / (kOutBytes / 4) * kBlockQ;
        if (!is_inside(p, tile, first)${ " || pair >= kHeadDim / 2" if plan.head_dim % 64 != 0 }) {
            continue;
        }
//% if sparse
        if (!(computed >> first / kRowsPerPass & 1)) {
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
static __device__ __forceinline__ void finish(const Params& p, Product& product, u32 out,
//% if sparse and plan.means
                                              u32 computed, bool computes) {
//% else
                                              bool computes) {
//% endif
    const OutputTile tile = tile_at(p, ${ "p.tiles[1 + cta_x()]" if sparse else "cta_x()" });
    if (computes) {
//% if plan.bias
        add_bias(product, p.bias + tile.column * kHeadDim);
//% endif
//% if plan.norm
        normalise(product, p);
//% endif
//% if plan.rope
        rotate(product, p, tile);
//% endif
        const u32 rows = out + warp_row() * kOutBytes;
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
    const u32 computed = computed_rows(p, tile);
    const bool computes = holds_rows(p, tile, warp_row(), kRowTiles * 16) &&
                          (computed >> warp_row() / kRowsPerPass & 1);
    Operands operands = operands_of(p, tile);
    operands.a_rows &= computed;
//% else
    const OutputTile tile = tile_at(p, cta_x());
    const bool computes = holds_rows(p, tile, warp_row(), kRowTiles * 16);
    const Operands operands = operands_of(p, tile);
//% endif
    const u32 memory = shared_address(shared);

    // Q = X Wᵀ
    Product product;
    multiply_all(product, operands, memory, computes);
    finish(p, product, memory + kOutAt${ ", computed" if sparse and plan.means }, computes);
}
