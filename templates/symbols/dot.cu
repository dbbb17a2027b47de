${ step.title }

// A map of dot products of block means.
// Launch: a CTA for each 32 × 32 block pairs of a head; a thread makes four of a column.
extern "C" __global__ void __launch_bounds__(${ step.threads }${ ", " ~ plan.ctas_per_sm if plan.ctas_per_sm })
${ step.entry }(const __grid_constant__ Params p) {
    // Rows are whole chunks of 16 bytes, and eight of them lie in different banks.
    __shared__ __align__(16) float q_tile[32][36];
    __shared__ __align__(16) float k_tile[32][36];
    const int b = blockIdx.z;
    const int h = blockIdx.y;
    const int kv_head = h / p.heads_per_kv_head;
    const int tiles = (p.kv_blocks + 31) / 32;
    const int first_i = blockIdx.x / tiles * 32;
    const int first_j = blockIdx.x % tiles * 32;
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    float sum[4] = {};
    for (int first_d = 0; first_d < kHeadDim; first_d += 32) {
        const int d = first_d + lane;
        for (int row = warp; row < 32; row += 8) {
            const int i = first_i + row;
            const int j = first_j + row;
            q_tile[row][lane] = 0.0f;
            k_tile[row][lane] = 0.0f;
            if (d < kHeadDim && i < p.q_blocks) {
                const float mean = p.mean_q[q_at(p, b, h, i) * kHeadDim + d];
//% if step.centered_q
                q_tile[row][lane] = mean - p.center_q[head_at(p, b, h) * kHeadDim + d];
//% else
                q_tile[row][lane] = mean;
//% endif
            }
            if (d < kHeadDim && j < p.kv_blocks) {
                const float mean = p.mean_k[k_at(p, b, kv_head, j) * kHeadDim + d];
//% if step.centered_k
                const i64 head = (i64)b * p.kv_heads + kv_head;
                k_tile[row][lane] = mean - p.center_k[head * kHeadDim + d];
//% else
                k_tile[row][lane] = mean;
//% endif
            }
        }
        __syncthreads();
        UNROLL for (int c = 0; c < 32; c += 4) {
            const float4 k = *(const float4*)&k_tile[lane][c];
            UNROLL for (int r = 0; r < 4; ++r) {
                const float4 q = *(const float4*)&q_tile[warp + 8 * r][c];
                sum[r] = fmaf(q.x, k.x, sum[r]);
                sum[r] = fmaf(q.y, k.y, sum[r]);
                sum[r] = fmaf(q.z, k.z, sum[r]);
                sum[r] = fmaf(q.w, k.w, sum[r]);
            }
        }
        __syncthreads();
    }
    const int j = first_j + lane;
    UNROLL for (int r = 0; r < 4; ++r) {
        const int i = first_i + warp + 8 * r;
        if (i < p.q_blocks && j < p.kv_blocks) {
            const float dot = sum[r];
            ${ step.target } = ${ step.value };
        }
    }
}
