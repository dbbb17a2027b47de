//# part Pipeline
// The loop over kv tiles, between two of its steps. K and V have two stages each, whose addresses
// differ in one bit: dynamic shared memory starts less than a stage above a multiple of two.
struct Pipeline {
    u32 q, k, v;    // in shared memory: the warp's rows of Q, and the stages of the present K and V
    u32 kv_head;    // eight bytes there: where K and V of the head start
    Lane lane;      // where in operands this thread reads
    KvTile now;     // the tile whose S is in registers and whose V is in flight
    Walk walk;      // stands at the tile after it, whose K is in flight
};
//# part other_stage
DEVICE u32 other_stage(u32 stage) { return stage ^ kStageBytes; }
