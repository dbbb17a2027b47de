//# part Logits
// S of one warp's query rows and a kv tile.
struct Logits {
    float s[kRowTiles][kTileKv / 8][4];
};
//# part clear_logits
// Element by element, as the copy below: assignments of structs cost ptxas four instructions in a
// hundred on sm_120.
DEVICE void clear_logits(Logits& logits) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            float(&s)[4] = logits.s[m][n];
            s[0] = s[1] = s[2] = s[3] = 0.0f;
        }
    }
}
//# part copy_logits
DEVICE void copy_logits(Logits& to, const Logits& from) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                to.s[m][n][e] = from.s[m][n][e];
            }
        }
    }
}
//# part Prob
// P as the A operand of P V: two 8-column tiles of S are one 16-deep step of it.
struct Prob {
    u32 p[kRowTiles][kTileKv / 16][4];
};
//# part Accumulator
// Accumulators of one warp: kRowTiles tiles of 16 query rows.
struct Accumulator {
    float o[kRowTiles][kHeadDim / 8][4];
    // Running maximum of S${ ", in powers of 2," if not plan.score } or a little less${ "; plus the reserve" if plan.dtype == "bf16" }.
    float m[kRowTiles][2];
    // Running sum of ${ "e" if plan.score else "2" }^(S - m), of this lane's columns only.
    float l[kRowTiles][2];
};
//# part empty_accumulator
// What is known before the first kv tile.
DEVICE Accumulator empty_accumulator() {
    Accumulator acc = {};
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        acc.m[m][0] = acc.m[m][1] = kLeast;
    }
    return acc;
}
