//# part apply_score
// S ← score(S · scale)
DEVICE void apply_score(Logits& logits, const Params& p, const Tile& tile, int first_kv) {
//% if rules.score.reads_q or rules.score.row
    const int first_q = tile.first_q + warp_row() + fragment_row();
//% endif
//% if rules.score.reads_kv
    first_kv += fragment_column();
//% endif
//% if rules.score.row
    // What is the same for all columns of a row.
    ScoreRow rows[kRows];
    UNROLL for (int i = 0; i < kRows; ++i) {
        const int q = min(first_q + i * 8, tile.n_q - 1);
        rows[i] = ${ rules.score.row };
    }
//% endif
    UNROLL for (int at = 0; at < kLogits; ++at) {
//% if rules.score.row
        const ScoreRow& row = rows[row_of(at)];
//% endif
//% if rules.score.reads_q
        const int q = min(first_q + row_of(at) * 8, tile.n_q - 1);
//% endif
//% if rules.score.reads_kv
        const int kv = min(first_kv + column_of(at), tile.n_kv - 1);
//% endif
        float& s = logit(logits, at);
        s = ${ rules.score.pair };
    }
}
