//# part apply_mask
// S ← -∞ where the mask refuses the pair
DEVICE void apply_mask(Logits& logits, const Params& p, const Tile& tile, int first_kv) {
//% if rules.mask.reads_q or rules.mask.row
    const int first_q = tile.first_q + warp_row() + fragment_row();
//% endif
//% if rules.mask.reads_kv
    first_kv += fragment_column();
//% endif
//% if rules.mask.row
    // What is the same for all columns of a row.
    MaskRow rows[kRows];
    UNROLL for (int i = 0; i < kRows; ++i) {
        const int q = min(first_q + i * 8, tile.n_q - 1);
        rows[i] = ${ rules.mask.row };
    }
//% endif
//% if rules.mask_divides or plan.rolls_mask
//% if rules.mask_divides
    // Divisions are long: a loop over columns holds their code once, and what is the same for all
    // columns is divided before it. Of a column stays one bit for each row.
//% else
    // Registers are full: in a loop over columns few are needed at a time. Of a column stays a bit
    // for each row.
//% endif
    u32 refused[kRows] = {};
    #pragma unroll 1
    for (int c = 0; c < kTileKv / 4; ++c) {
//% if rules.mask.reads_kv
        const int kv = min(first_kv + c / 2 * 8 + c % 2, tile.n_kv - 1);
//% endif
        UNROLL for (int i = 0; i < kRows; ++i) {
//% if rules.mask.row
            const MaskRow& row = rows[i];
//% endif
//% if rules.mask.reads_q
            const int q = min(first_q + i * 8, tile.n_q - 1);
//% endif
            refused[i] |= (u32)!${ rules.mask.pair } << c;
        }
    }
    UNROLL for (int at = 0; at < kLogits; ++at) {
        if (refused[row_of(at)] >> (column_of(at) / 8 * 2 + at % 2) & 1) {
            logit(logits, at) = negative_infinity();
        }
    }
}
//% else
    UNROLL for (int at = 0; at < kLogits; ++at) {
//% if rules.mask.row
        const MaskRow& row = rows[row_of(at)];
//% endif
//% if rules.mask.reads_q
        const int q = min(first_q + row_of(at) * 8, tile.n_q - 1);
//% endif
//% if rules.mask.reads_kv
        const int kv = min(first_kv + column_of(at), tile.n_kv - 1);
//% endif
        if (!${ rules.mask.pair }) {
            logit(logits, at) = negative_infinity();
        }
    }
}
//% endif
