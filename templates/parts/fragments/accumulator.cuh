//# part Logits
// S of one warp's query rows and a kv tile.
typedef float Logits[kRowTiles][kTileKv / 8][4];
//# part logit
// Element `at` of the kLogits that this thread holds.
DEVICE float& logit(Logits& logits, int at) {
    return logits[at / (kTileKv / 2)][at / 4 % (kTileKv / 8)][at % 4];
}
//# part row_of
// In which of this thread's kRows rows element `at` stands.
DEVICE int row_of(int at) { return at / (kTileKv / 2) * 2 + at % 4 / 2; }
//# part column_of
// How far right of this thread's first column it stands.
DEVICE int column_of(int at) { return at / 4 % (kTileKv / 8) * 8 + at % 2; }
//# part clear_logits
// Element by element, as the copy below: an initializer or an assignment of all of them at once
// costs ptxas five instructions in a hundred on sm_120.
DEVICE void clear_logits(Logits& logits) {
    UNROLL for (int at = 0; at < kLogits; ++at) {
        logit(logits, at) = 0.0f;
    }
}
//# part copy_logits
DEVICE void copy_logits(Logits& to, Logits& from) {
    UNROLL for (int at = 0; at < kLogits; ++at) {
        logit(to, at) = logit(from, at);
    }
}
//# part Prob
// P as the A operand of P V: two 8-column tiles of S are one 16-deep step of it.
typedef u32 Prob[kRowTiles][kTileKv / 16][4];
//# part Accumulator
// Accumulators of one warp: kRowTiles tiles of 16 query rows.
struct Accumulator {
    float o[kRowTiles][kHeadDim / 8][4];
    float m[kRows];    // running maximum of S${ ", in powers of 2," if not plan.score } or a little less${ "; plus the reserve" if plan.dtype == "bf16" }
    float l[kRows];    // running sum of ${ "e" if plan.score else "2" }^(S - m), of this lane's columns only
};
//# part empty_accumulator
// What is known before the first kv tile.
DEVICE Accumulator empty_accumulator() {
    Accumulator acc = {};
    UNROLL for (int i = 0; i < kRows; ++i) {
        acc.m[i] = kLeast;
    }
    return acc;
}
