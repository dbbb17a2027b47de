//# part bit_length
// Bits needed to write x; 0 for x <= 0.
static __device__ __forceinline__ int bit_length(int x) {
    return x <= 0 ? 0 : 32 - __clz(x);
}
//# part tanh_by_exp2
// tanh x = 1 - 2 / (e^2x + 1): one ex2, one reciprocal; absolute error below 4e-7, exact at ±∞.
static __device__ __forceinline__ float tanh_by_exp2(float x) {
    return 1.0f - 2.0f * rcp_approx(exp2_approx(x * (2.0f * kLog2E)) + 1.0f);
}
