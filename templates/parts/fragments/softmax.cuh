//# part quad_max
// Maximum over the four lanes that share a row.
static __device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
//# part quad_sum
// Sum over the four lanes that share a row.
static __device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
//# part clear
static __device__ __forceinline__ void clear(Accumulator& acc) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        acc.m[m][0] = acc.m[m][1] = kLeast;
        acc.l[m][0] = acc.l[m][1] = 0.0f;
        #pragma unroll
        for (int d = 0; d < kHeadDim / 8; ++d) {
            acc.o[m][d][0] = acc.o[m][d][1] = acc.o[m][d][2] = acc.o[m][d][3] = 0.0f;
        }
    }
}
//# part clear_logits
static __device__ __forceinline__ void clear_logits(float (&s)[kRowTiles][kTileKv / 8][4]) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0.0f;
        }
    }
}
//# part copy_logits
static __device__ __forceinline__ void copy_logits(float (&to)[kRowTiles][kTileKv / 8][4],
                                                   const float (&s)[kRowTiles][kTileKv / 8][4]) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileKv / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                to[m][n][e] = s[m][n][e];
            }
        }
    }
}
//# part row_maximum
// rowmax S of row r of row tile m${ ", in powers of 2" if not plan.score }.
static __device__ __forceinline__ float row_maximum(const float (&s)[kRowTiles][kTileKv / 8][4],
                                                    int m, int r${ ", float scale" if not plan.score }) {
    float most = s[m][0][2 * r];
    #pragma unroll
    for (int n = 0; n < kTileKv / 8; ++n) {
        most = fmaxf(most, fmaxf(s[m][n][2 * r], s[m][n][2 * r + 1]));
    }
    return quad_max(most)${ " * scale" if not plan.score };
}
//# part rescale
//% set e = "e" if plan.score else "2"
// m' = max(m, most${ " + reserve" if plan.dtype == "bf16" });  l ← l·${ e }^(m - m');  O ← O·${ e }^(m - m')
static __device__ __forceinline__ void rescale(Accumulator& acc,
                                               const float (&most)[kRowTiles][2]) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const float raised = fmaxf(acc.m[m][r], most[m][r]${ " + kReserve" if plan.dtype == "bf16" });
//% if plan.score
            const float factor = exp2_approx((acc.m[m][r] - raised) * kLog2E);
//% else
            const float factor = exp2_approx(acc.m[m][r] - raised);
//% endif
            acc.m[m][r] = raised;
            acc.l[m][r] *= factor;
            #pragma unroll
            for (int d = 0; d < kHeadDim / 8; ++d) {
                acc.o[m][d][2 * r] *= factor;
                acc.o[m][d][2 * r + 1] *= factor;
            }
        }
    }
}
//# part raise_maxima
// Raises m where S has outgrown it. m may lag behind the maximum, since P has headroom and O / l is
// the same for every m: so O is seldom rescaled.
static __device__ __forceinline__ void raise_maxima(Accumulator& acc,
                                                    const float (&s)[kRowTiles][kTileKv / 8][4]${ ", float scale" if not plan.score }) {
    float most[kRowTiles][2];
    bool outgrown = false;
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            most[m][r] = row_maximum(s, m, r${ ", scale" if not plan.score });
            outgrown |= most[m][r] - acc.m[m][r] > kHeadroom${ " - kReserve" if plan.dtype == "bf16" };
        }
    }
    if (__any_sync(0xffffffffu, outgrown)) {
        rescale(acc, most);
    }
}
//# part weigh
// P = ${ "e" if plan.score else "2" }^(S - m) for eight columns of row tile m, and l ← l + rowsum P
static __device__ __forceinline__ void weigh(u32 (&prob)[kRowTiles][kTileKv / 16][4],
                                             Accumulator& acc,
                                             const float (&s)[kRowTiles][kTileKv / 8][4], int m,
                                             int n${ ", float scale" if not plan.score }) {
    #pragma unroll
    for (int r = 0; r < 2; ++r) {
//% if plan.score
        // Base 2 comes last: a multiple of a score by log2(e) need not be finite.
        const float low = exp2_approx((s[m][n][2 * r] - acc.m[m][r]) * kLog2E);
        const float high = exp2_approx((s[m][n][2 * r + 1] - acc.m[m][r]) * kLog2E);
//% else
        const float low = exp2_approx(fmaf(s[m][n][2 * r], scale, -acc.m[m][r]));
        const float high = exp2_approx(fmaf(s[m][n][2 * r + 1], scale, -acc.m[m][r]));
//% endif
        acc.l[m][r] += low + high;
        // The accumulator of two 8-column tiles is the A operand of one 16-deep step.
        prob[m][n / 2][n % 2 * 2 + r] = pack_pair(low, high);
    }
}
