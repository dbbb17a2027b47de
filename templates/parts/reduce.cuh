//# part warp_sum
// Sum over the lanes of the warp, always in the same order.
static __device__ __forceinline__ float warp_sum(float x) {
    #pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, lanes);
    }
    return x;
}
//# part warp_count
static __device__ __forceinline__ int warp_count(int x) {
    #pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, lanes);
    }
    return x;
}
//# part warp_max
static __device__ __forceinline__ float warp_max(float x) {
    #pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
    }
    return x;
}
//# part cta_sum
// Sum over the threads of the CTA, always in the same order; all of them call it.
static __device__ __forceinline__ float cta_sum(float x) {
    __shared__ float warps[32];
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = x;
    }
    __syncthreads();
    const int lane = threadIdx.x % 32;
    return warp_sum(lane < blockDim.x / 32 ? warps[lane] : 0.0f);
}
//# part cta_count
static __device__ __forceinline__ int cta_count(int x) {
    __shared__ int warps[32];
    x = warp_count(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = x;
    }
    __syncthreads();
    const int lane = threadIdx.x % 32;
    return warp_count(lane < blockDim.x / 32 ? warps[lane] : 0);
}
//# part pool_block
// What is known of a block of Q or K from one pass over its `n` rows, `stride` elements apart: the
// mean${ " and the self-similarity |Σ x/|x||² / n²" if rules.sums_directions }. A null pointer is not written.
// A thread holds eight columns of every kRowsAtOnce-th row.
static __device__ __forceinline__ void pool_block(const u16* x, i64 stride, int n, float* mean${ ", float* similarity" if rules.sums_directions }${ ", const float* center" if rules.subtracts_center }) {
    __shared__ float partial[kPoolThreads * 8];
    const int column = threadIdx.x % kRowLanes * 8;
    const int group = threadIdx.x / kRowLanes;
    float sum[8] = {};
//% if rules.sums_directions
    float directions[8] = {};
//% endif
    #pragma unroll 4
    for (int first = 0; first < n; first += kRowsAtOnce) {
        const int row = first + group;
        const bool inside = row < n && column < kHeadDim;
        uint4 v = {};
        if (inside) {
            v = *(const uint4*)(x + row * stride + column);
        }
        const u32 pairs[4] = {v.x, v.y, v.z, v.w};
        float e[8];
        #pragma unroll
        for (int c = 0; c < 4; ++c) {
            e[2 * c] = unpack_low(pairs[c]);
            e[2 * c + 1] = unpack_high(pairs[c]);
        }
        #pragma unroll
        for (int c = 0; c < 8; ++c) {
//% if rules.subtracts_center
            if (center != nullptr && inside) {
                e[c] -= center[column + c];
            }
//% endif
            sum[c] += e[c];
        }
//% if rules.sums_directions
        if (similarity != nullptr) {
            float squares = 0.0f;
            #pragma unroll
            for (int c = 0; c < 8; ++c) {
                squares += e[c] * e[c];
            }
            #pragma unroll
            for (int lanes = kRowLanes / 2; lanes > 0; lanes /= 2) {
                squares += __shfl_xor_sync(0xffffffffu, squares, lanes);
            }
            // A row of zeros has no direction: 0 / 0 is NaN.
            const float size = sqrtf(squares);
            #pragma unroll
            for (int c = 0; c < 8; ++c) {
                directions[c] += inside ? e[c] / size : 0.0f;
            }
        }
//% endif
    }
    if (mean != nullptr) {
        #pragma unroll
        for (int c = 0; c < 8; ++c) {
            partial[threadIdx.x * 8 + c] = sum[c];
        }
        __syncthreads();
        for (int d = threadIdx.x; d < kHeadDim; d += kPoolThreads) {
            float total = 0.0f;
            for (int at = d; at < kPoolThreads * 8; at += kRowLanes * 8) {
                total += partial[at];
            }
            mean[d] = total / (float)n;
        }
        __syncthreads();
    }
//% if rules.sums_directions
    if (similarity != nullptr) {
        #pragma unroll
        for (int c = 0; c < 8; ++c) {
            partial[threadIdx.x * 8 + c] = directions[c];
        }
        __syncthreads();
        float squares = 0.0f;
        for (int d = threadIdx.x; d < kHeadDim; d += kPoolThreads) {
            float total = 0.0f;
            for (int at = d; at < kPoolThreads * 8; at += kRowLanes * 8) {
                total += partial[at];
            }
            squares += total * total;
        }
        squares = cta_sum(squares);
        if (threadIdx.x == 0) {
            *similarity = squares / ((float)n * (float)n);
        }
    }
//% endif
}
