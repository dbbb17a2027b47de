//# part warp_sum
// Sum over the lanes of the warp, always in the same order.
DEVICE float warp_sum(float x) {
    UNROLL for (int lanes = 16; lanes > 0; lanes /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, lanes);
    }
    return x;
}
//# part warp_count
DEVICE int warp_count(int x) {
    UNROLL for (int lanes = 16; lanes > 0; lanes /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, lanes);
    }
    return x;
}
//# part warp_max
// Of numbers, in one reduction of integers that are in their order.
DEVICE float warp_max(float x) {
    const u32 bits = __float_as_uint(x);
    const u32 most =
        __reduce_max_sync(0xffffffffu, bits >> 31 ? ~bits : bits | 0x80000000u);
    return __uint_as_float(most >> 31 ? most ^ 0x80000000u : ~most);
}
//# part warp_least
DEVICE u32 warp_least(u32 x) { return __reduce_min_sync(0xffffffffu, x); }
//# part warp_span
// Holds what any lane found.
DEVICE WordSpan warp_span(WordSpan x) {
    return WordSpan{warp_least(x.least), ~warp_least(~x.most)};
}
//# part cta_sum
// Sum over the threads of the CTA, always in the same order; all of them call it.
DEVICE float cta_sum(float x) {
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
//# part cta_max
DEVICE float cta_max(float x) {
    __shared__ float warps[32];
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = x;
    }
    __syncthreads();
    const int lane = threadIdx.x % 32;
    return warp_max(lane < blockDim.x / 32 ? warps[lane] : negative_infinity());
}
//# part cta_count
DEVICE int cta_count(int x) {
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
//# part cta_least
DEVICE u32 cta_least(u32 x) {
    __shared__ u32 warps[32];
    x = warp_least(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = x;
    }
    __syncthreads();
    const int lane = threadIdx.x % 32;
    return warp_least(lane < blockDim.x / 32 ? warps[lane] : ~0u);
}
//# part cta_span
// Holds what any thread found.
DEVICE WordSpan cta_span(WordSpan x) {
    return WordSpan{cta_least(x.least), ~cta_least(~x.most)};
}
//# part sum_for_each_lane
// Sums 32 numbers over the lanes of the warp, always in the same order: lane l keeps the sum of
// number l. Lanes give away half of their numbers at a time, for half of the numbers of another.
DEVICE float sum_for_each_lane(float (&x)[32]) {
    UNROLL for (int half = 16; half > 0; half /= 2) {
        const bool upper = threadIdx.x & half;
        UNROLL for (int n = 0; n < 16; ++n) {
            if (n < half) {
                const float kept = upper ? x[n + half] : x[n];
                const float given = upper ? x[n] : x[n + half];
                x[n] = kept + __shfl_xor_sync(0xffffffffu, given, half);
            }
        }
    }
    return x[0];
}
//# part four_of
// A lane's four columns of a slice of a row; zeros past its end.
DEVICE float4 four_of(const float* row, int slice) {
    const int column = slice * 128 + threadIdx.x % 32 * 4;
    return column < kHeadDim ? *(const float4*)(row + column) : float4{};
}
//# part load_four_means
// A lane's columns of four means; past the end the last one stands in.
DEVICE void load_four_means(float4 (&to)[4][kSlices], const float* means, int first, int blocks) {
    UNROLL for (int c = 0; c < 4; ++c) {
        UNROLL for (int s = 0; s < kSlices; ++s) {
            to[c][s] = four_of(means + (i64)min(first + c, blocks - 1) * kHeadDim, s);
        }
    }
}
//# part subtract_four
DEVICE void subtract_four(float4& a, float4 b) {
    a = float4{a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w};
}
//# part add_four
// sum += n a
DEVICE void add_four(float4& sum, float n, float4 a) {
    sum = float4{fmaf(n, a.x, sum.x), fmaf(n, a.y, sum.y), fmaf(n, a.z, sum.z),
                 fmaf(n, a.w, sum.w)};
}
//# part add_product_of_four
DEVICE void add_product_of_four(float& sum, float4 a, float4 b) {
    sum = fmaf(a.x, b.x, sum);
    sum = fmaf(a.y, b.y, sum);
    sum = fmaf(a.z, b.z, sum);
    sum = fmaf(a.w, b.w, sum);
}
//# part kPartialHalf
constexpr int kPartialHalf = kPoolThreads * 4 + 16;    // its first columns lie in other banks
//# part sum_rows
// Each thread's sums of eight columns: four in either half of `partial`.
DEVICE void sum_rows(float (&partial)[2 * kPartialHalf], const float (&sum)[8]) {
    float4* to = (float4*)&partial[threadIdx.x * 4];
    to[0] = {sum[0], sum[1], sum[2], sum[3]};
    to[kPartialHalf / 4] = {sum[4], sum[5], sum[6], sum[7]};
    __syncthreads();
}
//# part column_sum
DEVICE float column_sum(const float (&partial)[2 * kPartialHalf], int column) {
    const int at = column / 4 % 2 * kPartialHalf + column / 8 * 4 + column % 4;
    float total = 0.0f;
    for (int row = 0; row < kRowsAtOnce; ++row) {
        total += partial[at + row * kRowLanes * 4];
    }
    return total;
}
//# part pool_block
// The mean of the `n` rows of a block, `stride` elements apart, from one pass over them; a thread
// holds eight columns of every kRowsAtOnce-th row.
//% if rules.sums_directions
// And how alike they are: |Σ x/|x||² / n², the mean cosine over all pairs. A null pointer is not
// written.
//% endif
//% if rules.subtracts_center
// `center`, unless null, is taken away from each row first.
//% endif
DEVICE void pool_block(const u16* x, i64 stride, int n,
//% if rules.subtracts_center
                       const float* center,
//% endif
//% if rules.sums_directions
                       float* mean, float* similarity) {
//% else
                                                  float* mean) {
//% endif
    __shared__ __align__(16) float partial[2 * kPartialHalf];
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
        UNROLL for (int c = 0; c < 4; ++c) {
            e[2 * c] = unpack_low(pairs[c]);
            e[2 * c + 1] = unpack_high(pairs[c]);
        }
        UNROLL for (int c = 0; c < 8; ++c) {
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
            UNROLL for (int c = 0; c < 8; ++c) {
                squares += e[c] * e[c];
            }
            UNROLL for (int lanes = kRowLanes / 2; lanes > 0; lanes /= 2) {
                squares += __shfl_xor_sync(0xffffffffu, squares, lanes);
            }
            // A row of zeros has no direction: 0 · ∞ is NaN.
            const float scale = inside ? 1.0f / sqrtf(squares) : 0.0f;
            UNROLL for (int c = 0; c < 8; ++c) {
                directions[c] += e[c] * scale;
            }
        }
//% endif
    }
//% if rules.sums_directions
    if (mean != nullptr) {
        sum_rows(partial, sum);
        for (int d = threadIdx.x; d < kHeadDim; d += kPoolThreads) {
            mean[d] = column_sum(partial, d) / (float)n;
        }
        __syncthreads();
    }
    if (similarity != nullptr) {
        sum_rows(partial, directions);
        float squares = 0.0f;
        for (int d = threadIdx.x; d < kHeadDim; d += kPoolThreads) {
            const float total = column_sum(partial, d);
            squares += total * total;
        }
        squares = cta_sum(squares);
        if (threadIdx.x == 0) {
            *similarity = squares / ((float)n * (float)n);
        }
    }
//% else
    sum_rows(partial, sum);
    for (int d = threadIdx.x; d < kHeadDim; d += kPoolThreads) {
        mean[d] = column_sum(partial, d) / (float)n;
    }
//% endif
}
