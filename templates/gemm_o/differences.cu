// ---- differences -------------------------------------------------------------------------------

// D^k = Σ_j weight · output_j for every order k, where a head is cached.
// Launch: a CTA for each block of the stream of a head.
extern "C" __global__ void __launch_bounds__(${ step.threads })
${ step.entry }(const __grid_constant__ Params p) {
    const int h = blockIdx.y;
    const int b = blockIdx.z;
    const int i = p.first_token / kBlockQ + blockIdx.x;
    if (is_computed(p.s_c, b * p.q_blocks + i, p.heads, h)) {
        return;
    }
    const int first = max(i * kBlockQ, p.first_token);
    const int rows = min((i + 1) * kBlockQ, p.first_token + p.rows) - first;
    const i64 all = (i64)p.batch * p.n_tokens * p.heads * kHeadDim;
    for (int at = threadIdx.x; at < rows * kRowChunks; at += ${ step.threads }) {
        const i64 token = (i64)b * p.n_tokens + first + at / kRowChunks;
        const i64 offset = (token * p.heads + h) * kHeadDim + at % kRowChunks * 8;
        float sums[${ step.orders }][8] = {};
        #pragma unroll 1
        for (int j = 0; j < p.n_outputs; ++j) {
            const uint4 v = *(const uint4*)(p.outputs[j] + offset);
            const u32 pairs[4] = {v.x, v.y, v.z, v.w};
            UNROLL for (int k = 0; k < ${ step.orders }; ++k) {
                UNROLL for (int n = 0; n < 4; ++n) {
                    sums[k][2 * n] += p.weights[k * ${ step.terms } + j] * unpack_low(pairs[n]);
                    sums[k][2 * n + 1] += p.weights[k * ${ step.terms } + j] * unpack_high(pairs[n]);
                }
            }
        }
        UNROLL for (int k = 0; k < ${ step.orders }; ++k) {
            if (k < p.orders) {
                const float(&s)[8] = sums[k];
                *(uint4*)(p.output_differences + k * all + offset) =
                    {pack_pair(s[0], s[1]), pack_pair(s[2], s[3]), pack_pair(s[4], s[5]),
                     pack_pair(s[6], s[7])};
            }
        }
    }
}
