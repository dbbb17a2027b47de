// The mean of all tokens of a head, from the means of its blocks: each warp has a share of them.
DEVICE void make_center(const float* means, int blocks, int block_size, int n, float* center) {
    __shared__ __align__(16) float partial[kPoolThreads / 32][kSlices * 128];
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    float4 sum[kSlices] = {};
    #pragma unroll 8
    for (int block = warp; block < blocks; block += kPoolThreads / 32) {
        const float tokens = (float)tokens_of(block_span(block, block_size, n));
        UNROLL for (int s = 0; s < kSlices; ++s) {
            add_four(sum[s], tokens, four_of(means + (i64)block * kHeadDim, s));
        }
    }
    UNROLL for (int s = 0; s < kSlices; ++s) {
        *(float4*)&partial[warp][s * 128 + lane * 4] = sum[s];
    }
    __syncthreads();
    for (int d = threadIdx.x; d < kHeadDim; d += kPoolThreads) {
        float total = 0.0f;
        for (int from = 0; from < kPoolThreads / 32; ++from) {
            total += partial[from][d];
        }
        center[d] = total / (float)n;
    }
//% if step.q and step.k
    __syncthreads();
//% endif
}

DEVICE void make_centers(const Params& p, int b, int h) {
//% if step.q
    make_center(p.mean_q + q_at(p, b, h, 0) * kHeadDim, p.q_blocks, kBlockQ, p.n_q,
                p.center_q + head_at(p, b, h) * kHeadDim);
//% endif
//% if step.k
    if (h < p.kv_heads) {
        make_center(p.mean_k + k_at(p, b, h, 0) * kHeadDim, p.kv_blocks, kBlockKv, p.n_kv,
                    p.center_k + ((i64)b * p.kv_heads + h) * kHeadDim);
    }
//% endif
}
