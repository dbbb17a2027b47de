//# part Lane
// What a thread holds of its warp's fragments. All address arithmetic of the inner loops happens here, once.
struct Lane {
    int row;       // query row, in the tile, of accumulator elements 0 and 1; elements 2 and 3 lie 8 below
    int quad;      // that row counted in the warp
    int column;    // column, in a group of eight, of accumulator elements 0 and 2
    u32 rows[kGroupSteps];       // ldmatrix address of an A operand, or of a transposed B operand
    u32 columns[kGroupSteps];    // ldmatrix address of a B operand whose rows are its columns
};
//# part lane_of_thread
static __device__ __forceinline__ Lane lane_of_thread() {
    const int thread = threadIdx.x % 32;
    Lane lane;
    lane.quad = thread / 4;
    lane.row = threadIdx.x / 32 * (kRowTiles * 16) + lane.quad;
    lane.column = thread % 4 * 2;
    const int a_row = thread % 16;
    const int b_row = thread % 8 + thread / 16 * 8;
    #pragma unroll
    for (int step = 0; step < kGroupSteps; ++step) {
        lane.rows[step] = a_row * kRowBytes + swizzled(a_row, 2 * step + thread / 16);
        lane.columns[step] = b_row * kRowBytes + swizzled(b_row, 2 * step + thread / 8 % 2);
    }
    return lane;
}
