//# part turn
// (a, b) ← (a · cos - b · sin, b · cos + a · sin)
DEVICE void turn(float& a, float& b, float cos, float sin) {
    const float turned = a * cos - b * sin;
    b = b * cos + a * sin;
    a = turned;
}
//# part few_at_once
// Registers are full: angles of all columns at once would spill.
DEVICE void few_at_once(int n) {
    if (n % 8 == 0) {
        __syncwarp();
    }
}
//# part rotate
//% set many = plan.tile_heads > 1
//% if plan.rope == "interleaved"
// Turns columns 2i and 2i + 1 of each row by its angle i: both are this lane's.
//% else
// Turns columns i and i + D/2 of each row by its angle i: both are this lane's.
//% endif
//% if many
// The angles are the same for all heads, and read once.
DEVICE void rotate(Product (&products)[kTileHeads], const Params& p, const OutputTile& tile) {
//% else
DEVICE void rotate(Product& product, const Params& p, const OutputTile& tile) {
//% endif
    UNROLL for (int i = 0; i < kRows; ++i) {
        const int row = warp_row() + fragment_row() + i * 8;
        const i64 token = min(tile.first_token + row, p.n_tokens - 1);
//% if plan.rope == "interleaved"
        const i64 first = token * (kHeadDim / 2) + fragment_column() / 2;
        UNROLL for (int n = 0; n < kTileN / 8; ++n) {
//% if plan.roles and (plan.head_dim == 256 or plan.subtile_rows < 128)
            few_at_once(n);
//% endif
//% if many
            const float cos = p.rope_cos[first + n * 4];
            const float sin = p.rope_sin[first + n * 4];
            UNROLL for (int h = 0; h < kTileHeads; ++h) {
                float* c = &products[h].c[i / 2][n][i % 2 * 2];
                turn(c[0], c[1], cos, sin);
            }
//% else
            float* c = &product.c[i / 2][n][i % 2 * 2];
            turn(c[0], c[1], p.rope_cos[first + n * 4], p.rope_sin[first + n * 4]);
//% endif
        }
//% else
        const i64 first = token * (kHeadDim / 2) + fragment_column();
        UNROLL for (int n = 0; n < kTileN / 16; ++n) {
//% if plan.roles and (plan.head_dim == 256 or plan.subtile_rows < 128)
            few_at_once(n);
//% endif
            const float2 cos = *(const float2*)(p.rope_cos + first + n * 8);
            const float2 sin = *(const float2*)(p.rope_sin + first + n * 8);
//% if many
            UNROLL for (int h = 0; h < kTileHeads; ++h) {
                float* a = &products[h].c[i / 2][n][i % 2 * 2];
                float* b = &products[h].c[i / 2][n + kTileN / 16][i % 2 * 2];
                turn(a[0], b[0], cos.x, sin.x);
                turn(a[1], b[1], cos.y, sin.y);
            }
//% else
            float* a = &product.c[i / 2][n][i % 2 * 2];
            float* b = &product.c[i / 2][n + kTileN / 16][i % 2 * 2];
            turn(a[0], b[0], cos.x, sin.x);
            turn(a[1], b[1], cos.y, sin.y);
//% endif
        }
//% endif
    }
}
