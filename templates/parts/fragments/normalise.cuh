//# part normalise
// Q ← Q · weight / √(mean(Q²) + eps) in each row. A row lies in the four lanes of a quad.
DEVICE void normalise(Product& product, const Params& p) {
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
