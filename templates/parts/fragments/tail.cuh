//# part complete_logits
// S as softmax takes it${ ": behind the mask," if plan.mask else "," } cut at the end of the sequence.
DEVICE void complete_logits(Logits& logits, const Params& p, const Tile& tile, const KvTile& now) {
//% if plan.mask
    if (now.partial) {
        apply_mask(logits, p, tile, now.kv);
    }
//% endif
    if (now.kv + kTileKv > tile.n_kv) {
        const int first_kv = now.kv + fragment_column();
        UNROLL for (int at = 0; at < kLogits; ++at) {
            if (first_kv + column_of(at) >= tile.n_kv) {
                logit(logits, at) = negative_infinity();
            }
        }
    }
}
