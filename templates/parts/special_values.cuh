//# part kExponent
constexpr u32 kExponent = ${ "0x7f80" if plan.dtype == "bf16" else "0x7c00" };    // all ones: infinite or NaN
//# part kOne
constexpr u32 kOne = ${ "0x3f80" if plan.dtype == "bf16" else "0x3c00" };
//# part is_special
// Whether the lower half of a pair is infinite or NaN.
static __device__ __forceinline__ bool is_special(u32 half) {
    return (half & kExponent) == kExponent;
}
//# part without_specials
static __device__ __forceinline__ u32 without_specials(u32 pair) {
    return (is_special(pair) ? 0 : pair & 0xffffu) | (is_special(pair >> 16) ? 0 : pair & 0xffff0000u);
}
//# part ones_where
static __device__ __forceinline__ u32 ones_where(bool low, bool high) {
    return (low ? kOne : 0) | (high ? kOne << 16 : 0);
}
//# part ones_where_equal
static __device__ __forceinline__ u32 ones_where_equal(u32 pair, u32 half) {
    return ones_where((pair & 0xffffu) == half, pair >> 16 == half);
}
//# part ones_where_nan
static __device__ __forceinline__ u32 ones_where_nan(u32 pair) {
    return ones_where((pair & 0x7fffu) > kExponent, (pair >> 16 & 0x7fffu) > kExponent);
}
//# part ones_where_positive
static __device__ __forceinline__ u32 ones_where_positive(u32 pair) {
    return ones_where((pair & 0xffffu) != 0, pair >> 16 != 0);
}
//# part has_specials
// Whether a kv tile holds an infinite or NaN element. The same answer in all lanes of the warp.
static __device__ __forceinline__ bool has_specials(u32 kv_tile) {
    bool found = false;
    #pragma unroll 4
    for (int at = thread_x() % 32 * 16; at < kTileKv * kRowBytes; at += 32 * 16) {
        const uint4 v = load_shared_16(kv_tile + at);
        found |= is_special(v.x) || is_special(v.x >> 16) || is_special(v.y) || is_special(v.y >> 16)
              || is_special(v.z) || is_special(v.z >> 16) || is_special(v.w) || is_special(v.w >> 16);
    }
    return __any_sync(0xffffffffu, found);
}
//# part add_where_touched
// o += value in every element whose row gives weight to a column that `ones` marks.
static __device__ __forceinline__ void add_where_touched(float (&o)[4], const u32 (&touched)[4],
                                                         u32 ones_0, u32 ones_1, float value) {
    float count[4] = {};
    mma_16816(count, touched, ones_0, ones_1);
    #pragma unroll
    for (int e = 0; e < 4; ++e) {
        o[e] = count[e] > 0.0f ? o[e] + value : o[e];
    }
}
//# part multiply_pv_with_specials
// O += P V where V holds infinities or NaN: the products take V without them, and each is then added to the rows that
// give weight to it, so that 0 · ∞ cannot reach a row whose mask refuses the pair.
static __device__ __forceinline__ void multiply_pv_with_specials(
    Accumulator& acc, const u32 (&prob)[kRowTiles][kTileKv / 16][4], u32 v_tile, const Lane& lane) {
    #pragma unroll
    for (int d = 0; d < kHeadDim / 8; ++d) {
        #pragma unroll
        for (int k = 0; k < kTileKv / 16; ++k) {
            u32 b[4];
            ldmatrix_x4_transposed(b, operand_step(v_tile + lane.by_rows, d / 2) + k * 16 * kRowBytes);
            const u32 b0 = b[d % 2 * 2];
            const u32 b1 = b[d % 2 * 2 + 1];
            #pragma unroll
            for (int m = 0; m < kRowTiles; ++m) {
                u32 touched[4];
                #pragma unroll
                for (int e = 0; e < 4; ++e) {
                    touched[e] = ones_where_positive(prob[m][k][e]);
                }
                mma_16816(acc.o[m][d], prob[m][k], without_specials(b0), without_specials(b1));
                add_where_touched(acc.o[m][d], touched, ones_where_equal(b0, kExponent),
                                  ones_where_equal(b1, kExponent), -kNegativeInfinity);
                add_where_touched(acc.o[m][d], touched, ones_where_equal(b0, kExponent | 0x8000u),
                                  ones_where_equal(b1, kExponent | 0x8000u), kNegativeInfinity);
                add_where_touched(acc.o[m][d], touched, ones_where_nan(b0), ones_where_nan(b1),
                                  kNotANumber);
            }
        }
    }
}
