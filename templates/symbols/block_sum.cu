${ step.title }

// The products of 16 query groups with 16 kv groups of `stride` tokens, one for each thread: rows
// of a query group are taken backwards. Tokens past the end count as zeros.
DEVICE float antidiagonal(const Params& p, int b, int h, int first_q_group, int first_kv_group,
                          int stride) {
    __shared__ float q_tile[16][65];
    __shared__ float k_tile[16][65];
    const int kv_head = h / p.heads_per_kv_head;
    // The first half of the threads loads Q, the second K: eight columns of a row each. A warp has
    // eight rows of four such columns, which lie in different banks.
    const bool loads_q = threadIdx.x < 128;
    const int row = threadIdx.x % 8 + threadIdx.x / 32 % 2 * 8;
    const int column = (threadIdx.x / 8 % 4 + threadIdx.x / 64 % 2 * 4) * 8;
    float sum = 0.0f;
    for (int a = 0; a < stride; ++a) {
        const int q = (first_q_group + row) * stride + stride - 1 - a;
        const int kv = (first_kv_group + row) * stride + a;
        const bool has_row = loads_q ? q < p.n_q : kv < p.n_kv;
        const i64 q_row = ((i64)b * p.n_q + q) * p.heads + h;
        const i64 k_row = ((i64)b * p.n_kv + kv) * p.kv_heads + kv_head;
        const u16* from = loads_q ? p.q + q_row * kHeadDim : p.k + k_row * kHeadDim;
        float* to = loads_q ? &q_tile[row][column] : &k_tile[row][column];
        for (int first_d = 0; first_d < kHeadDim; first_d += 64) {
            uint4 v = {};
            if (has_row && first_d + column < kHeadDim) {
                v = *(const uint4*)(from + first_d + column);
            }
            const u32 pairs[4] = {v.x, v.y, v.z, v.w};
            UNROLL for (int c = 0; c < 4; ++c) {
                to[2 * c] = unpack_low(pairs[c]);
                to[2 * c + 1] = unpack_high(pairs[c]);
            }
            __syncthreads();
            #pragma unroll 16
            for (int d = 0; d < 64; ++d) {
                sum = fmaf(q_tile[threadIdx.x / 16][d], k_tile[threadIdx.x % 16][d], sum);
            }
            __syncthreads();
        }
    }
    return sum;
}

// Softmax over the kv groups of each query group, summed over the groups of each block pair.
// A CTA has a query block of a head: 16 × 16 threads, each for a pair of groups. Two walks over
// the kv groups: the first finds maximum and sum of each query group.
DEVICE void ${ step.function }(${ step.parameters }) {
    __shared__ float weights[16][16];
    const int stride = max(${ step.stride }, 1);
    const int q_groups = kBlockQ / stride;
    const int kv_groups = kBlockKv / stride;
    const int row = threadIdx.x / 16;
    const int column = threadIdx.x % 16;
    for (int first_row = 0; first_row < q_groups; first_row += 16) {
        const int q_group = i * q_groups + first_row + row;
        const bool has_row = first_row + row < q_groups && q_group * stride < p.n_q;
        float most = negative_infinity();
        float total = 0.0f;
        for (int walk = 0; walk < 2; ++walk) {
            for (int first_kv = 0; first_kv * stride < p.n_kv; first_kv += 16) {
                const int kv_group = first_kv + column;
                const float antidiag =
                    antidiagonal(p, b, h, i * q_groups + first_row, first_kv, stride);
                bool sees = has_row && kv_group * stride < p.n_kv;
//% if step.visible
                sees = sees && ${ step.visible };
//% endif
                const float x = sees ? ${ step.logit } : negative_infinity();
                // Lanes meet here, or the compiler lets them go apart to the barrier.
                __syncwarp();
                if (walk == 0) {
                    // Of this thread's columns, relative to their maximum so far.
                    const float larger = fmaxf(most, x);
                    if (sees && (larger != negative_infinity() || x != x)) {
                        total = total * expf(most - larger) + expf(x - larger);
                        most = larger;
                    }
                    continue;
                }
                const bool weighs = sees && most != negative_infinity();
                weights[row][column] = weighs ? expf(x - most) / total : 0.0f;
                __syncthreads();
                // A thread for each kv block that has groups here.
                const int j = first_kv / kv_groups + threadIdx.x;
                const int first = max(j * kv_groups - first_kv, 0);
                const int end = min((j + 1) * kv_groups - first_kv, 16);
                if (first < end && j < p.kv_blocks) {
                    float sum = 0.0f;
                    for (int r = 0; r < 16; ++r) {
                        for (int c = first; c < end; ++c) {
                            sum += weights[r][c];
                        }
                    }
                    const bool is_first = first_row == 0 && j * kv_groups >= first_kv;
                    float& score = ${ step.target };
                    score = is_first ? sum : score + sum;
                }
                __syncthreads();
            }
            if (walk == 0) {
                UNROLL for (int lanes = 8; lanes > 0; lanes /= 2) {
                    const float other = __shfl_xor_sync(0xffffffffu, most, lanes);
                    const float others = __shfl_xor_sync(0xffffffffu, total, lanes);
                    const float larger = fmaxf(most, other);
                    if (larger != negative_infinity()) {
                        total = total * expf(most - larger) + others * expf(other - larger);
                        most = larger;
                    }
                }
            }
        }
    }
}
