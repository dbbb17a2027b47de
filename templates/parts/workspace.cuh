//# part head_at
// Places in workspaces [B, H, …]: of a head,
static __device__ __forceinline__ i64 head_at(const Params& p, int b, int h) {
    return (i64)b * p.heads + h;
}
//# part q_at
// of a query block,
static __device__ __forceinline__ i64 q_at(const Params& p, int b, int h, int i) {
    return ((i64)b * p.heads + h) * p.q_blocks + i;
}
//# part kv_at
// of a kv block, for each query head,
static __device__ __forceinline__ i64 kv_at(const Params& p, int b, int h, int j) {
    return ((i64)b * p.heads + h) * p.kv_blocks + j;
}
//# part pair_at
// of a block pair,
static __device__ __forceinline__ i64 pair_at(const Params& p, int b, int h, int i, int j) {
    return (((i64)b * p.heads + h) * p.q_blocks + i) * p.kv_blocks + j;
}
//# part k_at
// of a block of K, which has heads of its own.
static __device__ __forceinline__ i64 k_at(const Params& p, int b, int kv_head, int j) {
    return ((i64)b * p.kv_heads + kv_head) * p.kv_blocks + j;
}
