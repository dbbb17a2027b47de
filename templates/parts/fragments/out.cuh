//# part put_rounded
// The warp's rows of the product, rounded, to shared memory: they leave it in 16-byte stores.
DEVICE void put_rounded(u32 to, const Product& product) {
    const int column = fragment_column();
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int row = fragment_row() + m * 16 + r * 8;
            #pragma unroll
            for (int n = 0; n < kTileN / 8; ++n) {
                const float* c = product.c[m][n];
                store_shared(to + out_offset(row, n) + column * 2,
                             pack_pair(c[2 * r], c[2 * r + 1]));
            }
        }
    }
    __syncwarp();
}
//# part put_output
// O ← O / l, rounded, to the warp's rows of a shared tile, and lse = ${ "m + ln l" if plan.score else "ln(2^m · l)" }
DEVICE void put_output(u32 to, Accumulator& acc, const Params& p, const Tile& tile) {
    const int column = fragment_column();
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const float l = quad_sum(acc.l[m][r]);
            // An empty row has l = 0: its output is 0 and its lse -∞.
            const float inverse = l == 0.0f ? 0.0f : rcp_approx(l);
            const int row = fragment_row() + m * 16 + r * 8;
            if (column == 0 && tile.first_q + warp_row() + row < tile.n_q) {
                p.lse[lse_offset(p, tile, warp_row() + row)] =
                    l == 0.0f ? negative_infinity()
                              : ${ "acc.m[m][r] + log2_approx(l) * kLn2" if plan.score else "(acc.m[m][r] + log2_approx(l)) * kLn2" };
            }
            #pragma unroll
            for (int d = 0; d < kHeadDim / 8; ++d) {
                store_shared(to + in_tile(row, d, kTileQ) + column * 2,
                             pack_pair(acc.o[m][d][2 * r] * inverse,
                                       acc.o[m][d][2 * r + 1] * inverse));
            }
        }
    }
}
