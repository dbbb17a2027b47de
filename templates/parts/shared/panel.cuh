//# part swizzled
// Byte offset of 16-byte chunk `chunk` inside row `row` of a shared tile. Chunks are permuted so
// that the eight rows of one ldmatrix phase lie in eight different 16-byte columns of the banks.
static __device__ __forceinline__ int swizzled(int row, int chunk) {
//% if plan.group_chunks == 8
    return (chunk ^ (row & 7)) * 16;
//% else
    return (chunk ^ (row >> 1 & 3)) * 16;
//% endif
}
