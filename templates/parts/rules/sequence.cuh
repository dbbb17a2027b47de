//# part sequence_n_q
// Query tokens of a batch item.
DEVICE int sequence_n_q(const Params& p, int b) { return p.q_indptr[b + 1] - p.q_indptr[b]; }
//# part sequence_n_kv
// Key and value tokens of a batch item.
DEVICE int sequence_n_kv(const Params& p, int b) { return p.kv_indptr[b + 1] - p.kv_indptr[b]; }
