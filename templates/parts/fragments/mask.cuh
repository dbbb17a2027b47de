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
    MaskRow rows[kRowTiles][2];
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int q = min(first_q + m * 16 + r * 8, tile.n_q - 1);
            rows[m][r] = ${ rules.mask.row };
        }
    }
//% endif
//% if rules.mask_divides
    // Divisions are long: a loop over columns holds their code once, and what is the same for all
    // columns is divided before it. Of a column stays one bit for each row.
    u32 refused[kRowTiles][2] = {};
    #pragma unroll 1
    for (int c = 0; c < kTileKv / 4; ++c) {
//% if rules.mask.reads_kv
        const int kv = min(first_kv + c / 2 * 8 + c % 2, tile.n_kv - 1);
//% endif
        #pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
            #pragma unroll
            for (int r = 0; r < 2; ++r) {
//% if rules.mask.row
                const MaskRow& row = rows[m][r];
//% endif
//% if rules.mask.reads_q
                const int q = min(first_q + m * 16 + r * 8, tile.n_q - 1);
//% endif
                refused[m][r] |= (u32)!${ rules.mask.pair } << c;
            }
        }
    }
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                if (refused[m][e / 2] >> (n * 2 + e % 2) & 1) {
                    logits.s[m][n][e] = negative_infinity();
                }
            }
        }
    }
}
//% else
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
//% if rules.mask.row
                const MaskRow& row = rows[m][e / 2];
//% endif
//% if rules.mask.reads_q
                const int q = min(first_q + m * 16 + e / 2 * 8, tile.n_q - 1);
//% endif
//% if rules.mask.reads_kv
                const int kv = min(first_kv + n * 8 + e % 2, tile.n_kv - 1);
//% endif
                if (!${ rules.mask.pair }) {
                    logits.s[m][n][e] = negative_infinity();
                }
            }
        }
    }
}
//% endif
