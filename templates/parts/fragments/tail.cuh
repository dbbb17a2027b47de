//# part cut_tail
// S ← -∞ past the end of the sequence
DEVICE void cut_tail(Logits& logits, int n_kv, int first_kv) {
    first_kv += fragment_column();
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                if (first_kv + n * 8 + e % 2 >= n_kv) {
                    logits.s[m][n][e] = negative_infinity();
                }
            }
        }
    }
}
//# part complete_logits
// S as softmax takes it${ ": after the score rule" if plan.score }${ ", behind the mask" if plan.mask }, cut at the end of the sequence.
DEVICE void complete_logits(Logits& logits, const Params& p, const Tile& tile, const KvTile& now) {
//% if plan.score
    apply_score(logits, p, tile, now.kv);
//% endif
//% if plan.mask
    if (now.partial) {
        apply_mask(logits, p, tile, now.kv);
    }
//% endif
    if (now.kv + kTileKv > tile.n_kv) {
        cut_tail(logits, tile.n_kv, now.kv);
    }
}
