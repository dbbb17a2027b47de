// ---- tiles in order ----------------------------------------------------------------------------

// Lists row tiles, of ${ step.threads } at a time those that sum most heads first.
// Launch: one CTA.
extern "C" __global__ void __launch_bounds__(${ step.threads })
${ step.entry }(const __grid_constant__ Params p) {
    __shared__ int heads[${ step.threads }];
    let_next_launch_start();
    const int all = p.batch * p.row_tiles;
    for (int first = 0; first < all; first += ${ step.threads }) {
        const int at = first + threadIdx.x;
        const int first_row = (p.first_row_tile + at % p.row_tiles) * kTileQ;
        const int own = at < all ? count_heads(p, {at / p.row_tiles, first_row, 0}) : 0;
        heads[threadIdx.x] = own;
        __syncthreads();
        int place = first;
        for (int other = 0; other < min(${ step.threads }, all - first); ++other) {
            const bool earlier = other < threadIdx.x;
            place += heads[other] > own || (heads[other] == own && earlier) ? 1 : 0;
        }
        if (at < all) {
            p.tiles[place] = at;
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        *p.tiles_taken = 0;
    }
}
