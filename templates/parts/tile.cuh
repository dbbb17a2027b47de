//# part Tile
// The query rows that this CTA owns, and where its sequence starts.
struct Tile {
    int b, h, i;          // batch item, query head, query block
    int first_q;          // first query token, counted in its sequence
    int n_q, n_kv;        // tokens of the sequence
    i64 q_row, kv_row;    // rows of Q and of K, V before the sequence
};
//# part Accumulator
// Accumulators of one warp: kRowTiles tiles of 16 query rows.
struct Accumulator {
    float o[kRowTiles][kHeadDim / 8][4];
    float m[kRowTiles][2];    // running maximum of S${ ", in powers of 2," if not plan.score } or a little less${ "; plus the reserve" if plan.dtype == "bf16" }
    float l[kRowTiles][2];    // running sum of ${ "e" if plan.score else "2" }^(S - m), of this lane's columns only
};
//# part Stages
// Where operands lie in shared memory: the warp's rows of Q, and the stage of the present tile of K
// and of V. Each has two stages, whose addresses differ in one bit: dynamic shared memory starts
// less than a stage above a multiple of two.
struct Stages {
    u32 q, k, v;
    u32 kv_head;    // eight bytes: where K and V of the head start
};
//# part first_stages
static __device__ __forceinline__ Stages first_stages(u32 kv_tiles) {
    const u32 q_tile = kv_tiles + 4 * kStageBytes;
    return Stages{q_tile + warp_row() * kRowBytes, kv_tiles, kv_tiles + 2 * kStageBytes,
                  q_tile + kTileQ * kRowBytes};
}
//# part other_stage
static __device__ __forceinline__ u32 other_stage(u32 stage) {
    return stage ^ kStageBytes;
}
