//# part normalise
// Q ← Q · weight / √(mean(Q²) + eps) in each row. A row lies in the four lanes of a quad.
DEVICE void normalise(Product& product, const Params& p) {
    float scale[kRows];
    UNROLL for (int i = 0; i < kRows; ++i) {
        float squares = 0.0f;
        UNROLL for (int n = 0; n < kTileN / 8; ++n) {
            const float* c = &product.c[i / 2][n][i % 2 * 2];
            squares += c[0] * c[0] + c[1] * c[1];
        }
        scale[i] = rsqrtf(quad_sum(squares) * (1.0f / kHeadDim) + p.eps);
    }
    UNROLL for (int n = 0; n < kTileN / 8; ++n) {
        const u32 weight = *(const u32*)(p.norm_weight + n * 8 + fragment_column());
        UNROLL for (int i = 0; i < kRows; ++i) {
            float* c = &product.c[i / 2][n][i % 2 * 2];
            c[0] *= scale[i] * unpack_low(weight);
            c[1] *= scale[i] * unpack_high(weight);
        }
    }
}
