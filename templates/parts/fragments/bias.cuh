//# part add_bias
// C += bias, whose first element belongs to the tile's first column; it has `columns` of them.
DEVICE void add_bias(Product& product, const u16* bias, int columns) {
    #pragma unroll
    for (int n = 0; n < kTileN / 8; ++n) {
        if (n * 8 < columns) {
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
}
