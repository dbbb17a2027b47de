//# part Product
// Accumulators of one warp: kRowTiles tiles of 16 full rows.
struct Product {
    float c[kRowTiles][kTileN / 8][4];
};
//# part clear_product
static __device__ __forceinline__ void clear_product(Product& product) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileN / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                product.c[m][n][e] = 0.0f;
            }
        }
    }
}
