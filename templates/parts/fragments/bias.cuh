//# part add_bias
// C += bias, whose first element belongs to the tile's first column; it has `columns` of them.
DEVICE void add_bias(Product& product, const u16* bias, int columns) {
    UNROLL for (int n = 0; n < kTileN / 8; ++n) {
        if (n * 8 < columns) {
            const u32 pair = *(const u32*)(bias + n * 8 + fragment_column());
            UNROLL for (int i = 0; i < kRows; ++i) {
                float* c = &product.c[i / 2][n][i % 2 * 2];
                c[0] += unpack_low(pair);
                c[1] += unpack_high(pair);
            }
        }
    }
}
