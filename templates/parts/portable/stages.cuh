//# part Stages
// Where operands lie in shared memory: the warp's rows of Q, and the stage of the present tile of K
// and of V. Each has two stages, whose addresses differ in one bit: dynamic shared memory starts
// less than a stage above a multiple of two.
struct Stages {
    u32 q, k, v;
    u32 kv_head;    // eight bytes: where K and V of the head start
};
//# part first_stages
DEVICE Stages first_stages(u32 memory) {
    return Stages{memory + kQAt + warp_row() * kPanelRow, memory + kKAt, memory + kVAt,
                  memory + kKvHeadAt};
}
//# part other_stage
DEVICE u32 other_stage(u32 stage) { return stage ^ kStageBytes; }
//# part Pipeline
// The loop over kv tiles, between two of its steps.
struct Pipeline {
    Stages stages;    // where operands lie
    Lane lane;        // where in them this thread reads
    KvTile now;       // the tile whose S is in registers and whose V is in flight
    Walk walk;        // stands at the tile after it, whose K is in flight
};
