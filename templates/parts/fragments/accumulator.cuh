//# part Accumulator
// Accumulators of one warp: kRowTiles tiles of 16 query rows.
struct Accumulator {
    float o[kRowTiles][kHeadDim / 8][4];
    float m[kRowTiles][2];    // running maximum of S${ ", in powers of 2," if not plan.score } or a little less${ "; plus the reserve" if plan.dtype == "bf16" }
    float l[kRowTiles][2];    // running sum of ${ "e" if plan.score else "2" }^(S - m), of this lane's columns only
};
