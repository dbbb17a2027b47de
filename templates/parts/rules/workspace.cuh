//# part head_at
// Place of a head in a workspace [B, H].
DEVICE i64 head_at(const Params& p, int b, int h) { return (i64)b * p.heads + h; }
//# part q_at
// Place of a query block in a workspace [B, H, T_q].
DEVICE i64 q_at(const Params& p, int b, int h, int i) {
    return ((i64)b * p.heads + h) * p.q_blocks + i;
}
//# part kv_at
// Place of a kv block in a workspace [B, H, T_kv].
DEVICE i64 kv_at(const Params& p, int b, int h, int j) {
    return ((i64)b * p.heads + h) * p.kv_blocks + j;
}
//# part pair_at
// Place of a block pair in a workspace [B, H, T_q, T_kv].
DEVICE i64 pair_at(const Params& p, int b, int h, int i, int j) {
    return (((i64)b * p.heads + h) * p.q_blocks + i) * p.kv_blocks + j;
}
//# part k_at
// Place of a block of K in a workspace [B, H_kv, T_kv].
DEVICE i64 k_at(const Params& p, int b, int kv_head, int j) {
    return ((i64)b * p.kv_heads + kv_head) * p.kv_blocks + j;
}
