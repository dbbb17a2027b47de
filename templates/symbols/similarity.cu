//% set both = step.q and step.k
// How alike the tokens of a block are once the mean of all tokens is taken away: a second pass.
// Launch: a CTA for each ${ "block of Q, then of K," if both else "block" } of a head.
extern "C" __global__ void __launch_bounds__(${ step.threads }${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ step.entry }(const __grid_constant__ Params p) {
    const int b = blockIdx.z;
    const int h = blockIdx.y;
//% if step.q
//% if both
    if (blockIdx.x < p.q_blocks) {
//% else
    {
//% endif
        const int i = blockIdx.x;
        const Span q = block_span(i, kBlockQ, p.n_q);
        const i64 row = (i64)b * p.n_q + q.first;
        pool_block(p.q + (row * p.heads + h) * kHeadDim, (i64)p.heads * kHeadDim, tokens_of(q),
                   p.center_q + head_at(p, b, h) * kHeadDim, nullptr,
                   p.centered_similarity_q + q_at(p, b, h, i));
    }
//% endif
//% if step.k
//% if both
    if (blockIdx.x >= p.q_blocks && h < p.kv_heads) {
        const int j = blockIdx.x - p.q_blocks;
//% else
    if (h < p.kv_heads) {
        const int j = blockIdx.x;
//% endif
        const Span kv = block_span(j, kBlockKv, p.n_kv);
        const i64 row = (i64)b * p.n_kv + kv.first;
        pool_block(p.k + (row * p.kv_heads + h) * kHeadDim, (i64)p.kv_heads * kHeadDim,
                   tokens_of(kv), p.center_k + ((i64)b * p.kv_heads + h) * kHeadDim, nullptr,
                   p.centered_similarity_k + k_at(p, b, h, j));
    }
//% endif
}
