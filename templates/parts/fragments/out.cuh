//# part put_rounded
// The warp's rows of the product, rounded, to shared memory: they leave it in 16-byte stores.
DEVICE void put_rounded(u32 to, const Product& product) {
    const int column = fragment_column();
    UNROLL for (int i = 0; i < kRows; ++i) {
        const int row = fragment_row() + i * 8;
        UNROLL for (int n = 0; n < kTileN / 8; ++n) {
            const float* c = &product.c[i / 2][n][i % 2 * 2];
            store_shared(to + out_offset(row, n) + column * 2, pack_pair(c[0], c[1]));
        }
    }
    __syncwarp();
}
//# part put_fragments
// Sixteen rows of `columns` columns from `fragments` on, rounded, to shared memory by stmatrix.
DEVICE void put_fragments(u32 to, const float (*fragments)[4], int columns) {
    const int lane = thread_x() % 32;
    UNROLL for (int n = 0; n < columns / 16; ++n) {
        const float(&c)[4] = fragments[2 * n];
        const float(&d)[4] = fragments[2 * n + 1];
        stmatrix_x4(to + out_offset(lane % 16, 2 * n + lane / 16), pack_pair(c[0], c[1]),
                    pack_pair(c[2], c[3]), pack_pair(d[0], d[1]), pack_pair(d[2], d[3]));
    }
}
//# part put_output
// O ← O / l, rounded, to the warp's rows of a shared tile, and lse = ${ "m + ln l" if plan.score else "ln(2^m · l)" }
DEVICE void put_output(u32 to, Accumulator& acc, const Params& p, const Tile& tile) {
    const int column = fragment_column();
    UNROLL for (int i = 0; i < kRows; ++i) {
        const float l = quad_sum(acc.l[i]);
        // An empty row has l = 0: its output is 0 and its lse -∞.
        const float inverse = l == 0.0f ? 0.0f : rcp_approx(l);
        const int row = fragment_row() + i * 8;
        if (column == 0 && tile.first_q + warp_row() + row < tile.n_q) {
            p.lse[lse_offset(p, tile, warp_row() + row)] =
                l == 0.0f ? negative_infinity() : ${ "acc.m[i] + __log2f(l) * kLn2" if plan.score else "(acc.m[i] + __log2f(l)) * kLn2" };
        }
        UNROLL for (int d = 0; d < kHeadDim / 8; ++d) {
            const float* o = &acc.o[i / 2][d][i % 2 * 2];
            store_shared(to + in_tile(row, d, kTileQ) + column * 2,
                         pack_pair(o[0] * inverse, o[1] * inverse));
        }
    }
}
