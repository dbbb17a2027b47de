//# part out_offset
// Byte offset of 16-byte chunk `chunk` of row `row` on its way out: as operands are swizzled, for
// rows of whole 128 bytes.
static __device__ __forceinline__ int out_offset(int row, int chunk) {
    return row * kOutBytes + (chunk ^ (row & 7)) * 16;
}
//# part put_rounded
// The warp's rows of the product, rounded, to shared memory: they leave it in 16-byte stores.
static __device__ __forceinline__ void put_rounded(u32 to, const Product& product) {
    const int column = fragment_column();
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int row = fragment_row() + m * 16 + r * 8;
            #pragma unroll
            for (int n = 0; n < kTileN / 8; ++n) {
                const float* c = product.c[m][n];
                store_shared(to + out_offset(row, n) + column * 2,
                             pack_pair(c[2 * r], c[2 * r + 1]));
            }
        }
    }
    __syncwarp();
}
