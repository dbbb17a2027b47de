${ step.title }

// Dot products of block means, for the rows of a CTA. A warp makes four columns of them at a time:
// a lane has four elements of each mean, or four of each slice.
DEVICE void ${ step.function }(const Params& p, int b, int h, int first_i) {
    const int lane = threadIdx.x % 32;
    const int kv_head = h / p.heads_per_kv_head;
//% if step.centered_q
    const float* center_q = p.center_q + head_at(p, b, h) * kHeadDim;
//% endif
//% if step.centered_k
    const float* center_k = p.center_k + ((i64)b * p.kv_heads + kv_head) * kHeadDim;
//% endif
    float4 q[kCtaRows][kSlices];
    UNROLL for (int r = 0; r < kCtaRows; ++r) {
        // Past the end the last block stands in for rows that nobody writes.
        const float* mean = p.mean_q + q_at(p, b, h, min(first_i + r, p.q_blocks - 1)) * kHeadDim;
        UNROLL for (int s = 0; s < kSlices; ++s) {
            q[r][s] = four_of(mean, s);
//% if step.centered_q
            subtract_four(q[r][s], four_of(center_q, s));
//% endif
        }
    }
    const float* means_k = p.mean_k + k_at(p, b, kv_head, 0) * kHeadDim;
    float4 next_k[4][kSlices];
    load_four_means(next_k, means_k, threadIdx.x / 32 * 4, p.kv_blocks);
    for (int first_j = threadIdx.x / 32 * 4; first_j < p.kv_blocks; first_j += 4 * kCtaRows) {
        float4 k[4][kSlices];
        UNROLL for (int c = 0; c < 4; ++c) {
            UNROLL for (int s = 0; s < kSlices; ++s) {
                k[c][s] = next_k[c][s];
//% if step.centered_k
                subtract_four(k[c][s], four_of(center_k, s));
//% endif
            }
        }
        load_four_means(next_k, means_k, first_j + 4 * kCtaRows, p.kv_blocks);
        float products[32] = {};
        UNROLL for (int c = 0; c < 4; ++c) {
            UNROLL for (int s = 0; s < kSlices; ++s) {
                UNROLL for (int r = 0; r < kCtaRows; ++r) {
                    add_product_of_four(products[4 * r + c], q[r][s], k[c][s]);
                }
            }
        }
        const float dot = sum_for_each_lane(products);
        const int i = first_i + lane / 4;
        const int j = first_j + lane % 4;
        if (i < p.q_blocks && j < p.kv_blocks) {
            ${ step.target } = ${ step.value };
        }
    }
}
