//# The symbols room for static rules: a CTA decides one query block of one head, a lane one block
//# pair at a time.
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
//% if plan.caches

// ---- cache symbol ------------------------------------------------------------------------------

// The row of S_c: one bit for each head.
DEVICE void write_cache_row(const Params& p) {
    const int b = blockIdx.z;
    const int i = blockIdx.x;
    const int lane = threadIdx.x % 32;
    u32* row = p.s_c_out + ((i64)b * p.q_blocks + i) * words_of(p.heads);
    for (int word = threadIdx.x / 32; word < words_of(p.heads); word += kThreads / 32) {
        const int h = word * 32 + lane;
        const u32 bits = __ballot_sync(0xffffffffu, h < p.heads && ${ rules.symbols.compute_test });
        if (lane == 0) {
            row[word] = bits;
        }
    }
}
//% endif
//% if plan.skips or plan.mask

// ---- skip and full symbols ---------------------------------------------------------------------

// The rows of S_s${ " and S_f" if plan.mask }: one bit for each kv block.
DEVICE void write_pair_rows(const Params& p) {
    const int b = blockIdx.z;
    const int h = blockIdx.y;
    const int i = blockIdx.x;
    const int lane = threadIdx.x % 32;
    const int words = words_of(p.kv_blocks);
    const i64 row = (((i64)b * p.heads + h) * p.q_blocks + i) * words;
    for (int word = threadIdx.x / 32; word < words; word += kThreads / 32) {
        const int j = word * 32 + lane;
//% if plan.mask
        const u32 verdict = ${ rules.symbols.classify_call };
//% endif
        const u32 s_s = __ballot_sync(0xffffffffu, ${ rules.symbols.keep_test });
//% if plan.mask
        const u32 s_f = __ballot_sync(0xffffffffu, verdict == kPass);
//% endif
        if (lane == 0) {
            p.s_s_out[row + word] = s_s;
//% if plan.mask
            p.s_f_out[row + word] = s_f;
//% endif
        }
    }
}
//% endif

extern "C" __global__ void __launch_bounds__(kThreads${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ entry }(const __grid_constant__ Params p) {
//% if plan.caches and (plan.skips or plan.mask)
    if (blockIdx.y == 0) {
        write_cache_row(p);
    }
    write_pair_rows(p);
//% elif plan.caches
    write_cache_row(p);
//% else
    write_pair_rows(p);
//% endif
}
