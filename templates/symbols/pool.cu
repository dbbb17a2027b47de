//% set both = step.q and step.k
// ---- block means -------------------------------------------------------------------------------

// One pass over ${ "Q and K" if both else "Q" if step.q else "K" }: the mean of each block${ ", and how alike its tokens are" if step.similarity_q or step.similarity_k }.
// Launch: a CTA for each ${ "block of Q, then of K," if both else "block" } of a head.
extern "C" __global__ void __launch_bounds__(${ step.threads }${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ step.entry }(const __grid_constant__ Params p) {
    const int b = blockIdx.z;
    const int h = blockIdx.y;
//% if step.lets_next_start
    let_next_launch_start();
//% endif
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
//% if rules.subtracts_center
                   nullptr,
//% endif
//% if step.similarity_q
                   p.mean_q + q_at(p, b, h, i) * kHeadDim, p.similarity_q + q_at(p, b, h, i));
//% elif rules.sums_directions
                   p.mean_q + q_at(p, b, h, i) * kHeadDim, nullptr);
//% else
                   p.mean_q + q_at(p, b, h, i) * kHeadDim);
//% endif
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
                   tokens_of(kv),
//% if rules.subtracts_center
                   nullptr,
//% endif
//% if step.similarity_k
                   p.mean_k + k_at(p, b, h, j) * kHeadDim, p.similarity_k + k_at(p, b, h, j));
//% elif rules.sums_directions
                   p.mean_k + k_at(p, b, h, j) * kHeadDim, nullptr);
//% else
                   p.mean_k + k_at(p, b, h, j) * kHeadDim);
//% endif
    }
//% endif
//% if step.centers

    // The mean of all, by the CTA that is the last of a head.
    if (arrives_last(p.arrivals + head_at(p, b, h), gridDim.x)) {
        make_centers(p, b, h);
    }
//% endif
}
