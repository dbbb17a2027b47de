// The mean of all tokens of a head, from the means of its blocks.
// Launch: a CTA for each head; a thread for each column.
extern "C" __global__ void __launch_bounds__(${ step.threads }${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ step.entry }(const __grid_constant__ Params p) {
    const int b = blockIdx.z;
    const int h = blockIdx.y;
    const int d = threadIdx.x;
    if (d >= kHeadDim) {
        return;
    }
//% if step.q
    float sum_q = 0.0f;
    for (int i = 0; i < p.q_blocks; ++i) {
        const float n = (float)tokens_of(block_span(i, kBlockQ, p.n_q));
        sum_q += n * p.mean_q[q_at(p, b, h, i) * kHeadDim + d];
    }
    p.center_q[head_at(p, b, h) * kHeadDim + d] = sum_q / (float)p.n_q;
//% endif
//% if step.k
    if (h >= p.kv_heads) {
        return;
    }
    float sum_k = 0.0f;
    for (int j = 0; j < p.kv_blocks; ++j) {
        const float n = (float)tokens_of(block_span(j, kBlockKv, p.n_kv));
        sum_k += n * p.mean_k[k_at(p, b, h, j) * kHeadDim + d];
    }
    p.center_k[((i64)b * p.kv_heads + h) * kHeadDim + d] = sum_k / (float)p.n_kv;
//% endif
}
