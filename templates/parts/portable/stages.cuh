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
