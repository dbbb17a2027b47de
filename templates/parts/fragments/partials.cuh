//# part add_partials
// Y += Σ_k coefficient_k · partial_k. Rows of 16-byte loads become fragments in shared memory.
DEVICE void add_partials(Product& product, const Params& p, const OutputTile& tile, u32 rows) {
    const int lane = threadIdx.x % 32;
    #pragma unroll 1
    for (int k = 0; k < p.n_partials; ++k) {
        for (int at = lane; at < kRowTiles * 16 * kOutChunks; at += 32) {
            const int row = at / kOutChunks;
            const int chunk = at % kOutChunks;
            uint4 v = {};
            if (is_in_y(p, tile, warp_row() + row, chunk)) {
                v = *(const uint4*)(p.partials[k] + y_offset(p, tile, warp_row() + row, chunk));
            }
            store_shared_16(rows + out_offset(row, chunk), v);
        }
        __syncwarp();
        UNROLL for (int m = 0; m < kRowTiles; ++m) {
            UNROLL for (int n = 0; n < kTileN / 16; ++n) {
                u32 pairs[4];
                ldmatrix_x4(pairs, rows + out_offset(m * 16 + lane % 16, 2 * n + lane / 16));
                UNROLL for (int e = 0; e < 4; ++e) {
                    float(&c)[4] = product.c[m][2 * n + e / 2];
                    c[e % 2 * 2] += p.coefficients[k] * unpack_low(pairs[e]);
                    c[e % 2 * 2 + 1] += p.coefficients[k] * unpack_high(pairs[e]);
                }
            }
        }
        __syncwarp();
    }
}
