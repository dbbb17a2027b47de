//# part turn
// (a, b) ← (a · cos - b · sin, b · cos + a · sin)
DEVICE void turn(float& a, float& b, float cos, float sin) {
    const float turned = a * cos - b * sin;
    b = b * cos + a * sin;
    a = turned;
}
//# part rotate
//% if plan.rope == "interleaved"
// Turns columns 2i and 2i + 1 of each row by its angle i: both are this lane's.
//% else
// Turns columns i and i + D/2 of each row by its angle i: both are this lane's.
//% endif
DEVICE void rotate(Product& product, const Params& p, const OutputTile& tile) {
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
