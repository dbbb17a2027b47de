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
        acc.m[m][0] = acc.m[m][1] = kNegativeInfinity;
        acc.l[m][0] = acc.l[m][1] = 0.0f;
        #pragma unroll
        for (int d = 0; d < kHeadDim / 8; ++d) {
            acc.o[m][d][0] = acc.o[m][d][1] = acc.o[m][d][2] = acc.o[m][d][3] = 0.0f;
        }
    }
}
