//# part apply_score
// S ← score(S · scale)
DEVICE void apply_score(Logits& logits, const Params& p, const Tile& tile, int first_kv) {
    float(&s)[kRowTiles][kTileKv / 8][4] = logits.s;
//% if rules.score.reads_q or rules.score.row
    const int first_q = tile.first_q + warp_row() + fragment_row();
//% endif
//% if rules.score.reads_kv
    first_kv += fragment_column();
//% endif
//% if rules.score.row
    // What is the same for all columns of a row.
    ScoreRow rows[kRowTiles][2];
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int q = min(first_q + m * 16 + r * 8, tile.n_q - 1);
            rows[m][r] = ${ rules.score.row };
        }
    }
//% endif
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
//% if rules.score.row
                const ScoreRow& row = rows[m][e / 2];
//% endif
//% if rules.score.reads_q
                const int q = min(first_q + m * 16 + e / 2 * 8, tile.n_q - 1);
//% endif
//% if rules.score.reads_kv
                const int kv = min(first_kv + n * 8 + e % 2, tile.n_kv - 1);
//% endif
                s[m][n][e] = ${ rules.score.pair };
            }
        }
    }
}
