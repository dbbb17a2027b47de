// ---- ${ step.map } ----

// The products of 16 query groups with 16 kv groups of `stride` tokens, one for each thread: rows
// of a query group are taken backwards. Tokens past the end count as zeros.
static __device__ __forceinline__ float antidiagonal(const Params& p, int b, int h, int first_q_group,
                                                     int first_kv_group, int stride) {
    __shared__ float q_tile[16][65];
    __shared__ float k_tile[16][65];
    const int row = threadIdx.x / 16;
    const int column = threadIdx.x % 16;
    const int kv_head = h / p.heads_per_kv_head;
    float sum = 0.0f;
    for (int a = 0; a < stride; ++a) {
        const int q = (first_q_group + row) * stride + stride - 1 - a;
        const int kv = (first_kv_group + row) * stride + a;
        const u16* q_row = p.q + (((i64)b * p.n_q + q) * p.heads + h) * kHeadDim;
        const u16* k_row = p.k + (((i64)b * p.n_kv + kv) * p.kv_heads + kv_head) * kHeadDim;
        for (int first_d = 0; first_d < kHeadDim; first_d += 64) {
            for (int d = column; d < 64; d += 16) {
                const bool inside = first_d + d < kHeadDim;
                q_tile[row][d] = inside && q < p.n_q ? unpack_low(q_row[first_d + d]) : 0.0f;
                k_tile[row][d] = inside && kv < p.n_kv ? unpack_low(k_row[first_d + d]) : 0.0f;
            }
            __syncthreads();
            #pragma unroll 16
            for (int d = 0; d < 64; ++d) {
                sum = fmaf(q_tile[row][d], k_tile[column][d], sum);
            }
            __syncthreads();
        }
    }
    return sum;
}

// Softmax over the kv groups of each query group, summed over the groups of each block pair.
// Launch: a CTA for each query block of a head; 16 × 16 threads, each for a pair of groups. Two
// walks over the kv groups: the first finds maximum and sum of each query group.
extern "C" __global__ void __launch_bounds__(${ step.threads })
${ step.entry }(const __grid_constant__ Params p) {
    const int b = blockIdx.z;
    const int h = blockIdx.y;
    const int i = blockIdx.x;
    const int stride = max(${ step.stride }, 1);
    const int q_groups = kBlockQ / stride;
    const int kv_groups = kBlockKv / stride;
    for (int first_q = 0; first_q < q_groups; first_q += 16) {
        const int row = first_q + threadIdx.x / 16;
        const int q_group = i * q_groups + row;
        const bool has_row = row < q_groups && q_group * stride < p.n_q;
        float most = kNegativeInfinity;
        float total = 0.0f;
        for (int walk = 0; walk < 2; ++walk) {
            for (int j = 0; j < p.kv_blocks; ++j) {
                float sum = 0.0f;
                for (int first_kv = 0; first_kv < kv_groups; first_kv += 16) {
                    const int column = first_kv + threadIdx.x % 16;
                    const int kv_group = j * kv_groups + column;
                    const float antidiag = antidiagonal(p, b, h, i * q_groups + first_q,
                                                        j * kv_groups + first_kv, stride);
                    const bool sees = has_row && column < kv_groups && kv_group * stride < p.n_kv${ "\n                                      && " ~ step.visible if step.visible };
                    const float x = sees ? ${ step.logit } : kNegativeInfinity;
                    if (walk == 0) {
                        // Sums of this thread's columns, relative to their maximum so far.
                        const float larger = fmaxf(most, x);
                        if (sees && (larger != kNegativeInfinity || x != x)) {
                            total = total * expf(most - larger) + expf(x - larger);
                            most = larger;
                        }
                    } else if (sees && most != kNegativeInfinity) {
                        sum += expf(x - most) / total;
                    }
                }
                if (walk == 1) {
                    sum = cta_sum(sum);
                    if (threadIdx.x == 0) {
                        float& score = ${ step.target };
                        score = first_q == 0 ? sum : score + sum;
                    }
                }
            }
            if (walk == 0) {
                #pragma unroll
                for (int lanes = 8; lanes > 0; lanes /= 2) {
                    const float other = __shfl_xor_sync(0xffffffffu, most, lanes);
                    const float others = __shfl_xor_sync(0xffffffffu, total, lanes);
                    const float larger = fmaxf(most, other);
                    if (larger != kNegativeInfinity) {
                        total = total * expf(most - larger) + others * expf(other - larger);
                        most = larger;
                    }
                }
            }
        }
    }
}
