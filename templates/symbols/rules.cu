//# The symbols room where each row decides for itself: a CTA has one query block of one head, a
//# lane one block pair at a time. Its header is that of all symbols kernels.
// symbols · ${ "rules over Q and K" if plan.data else "static rules" }
//% if plan.caches
// computes   S_c, one bit for each query block and head: 0 = reuse
//% endif
//% if plan.skips or plan.mask
// computes   S_s, one bit for each block pair and head: 0 = skip
//% endif
//% if plan.mask
// computes   S_f, 1 = every token pair of the block pair passes the mask
// mask       ${ rules.mask_words }
//% endif
//% if launches | length > 1
// launches   ${ launches | join(", ") }
//% endif
//% if plan.data
// shape      D=${ plan.head_dim }, ${ plan.dtype }; B, H, H_kv, N, N_kv at run time
//% endif
// blocks     q ${ plan.block_q }  kv ${ plan.block_kv }
// target     ${ plan.target }   threads ${ plan.threads }
//% if absent
// absent     ${ absent | join(", ") }
//% endif
//# text
// Launch: a CTA for each query block of ${ "a head" if plan.skips or plan.mask else "an item" }.
extern "C" __global__ void __launch_bounds__(kThreads${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ entry }(const __grid_constant__ Params p) {
    const int warp = threadIdx.x / 32;
//% if plan.caches and (plan.skips or plan.mask)
    if (blockIdx.y == 0) {
        write_cache_row(p, blockIdx.z, blockIdx.x, warp, kThreads / 32);
    }
//% elif plan.caches
    write_cache_row(p, blockIdx.z, blockIdx.x, warp, kThreads / 32);
//% endif
//% if plan.skips or plan.mask
    write_pair_row(p, blockIdx.z, blockIdx.y, blockIdx.x, warp, kThreads / 32);
//% endif
}
