// ---- tiles in order ----------------------------------------------------------------------------

// Heads that the rows of a tile sum.
DEVICE int summed_heads(const Params& p, int row_tile) {
    const int first_row = p.first_row_tile + row_tile % p.row_tiles;
    const int row = block_of_subtile(p, {row_tile / p.row_tiles, first_row * kTileQ, 0}, 0);
    int heads = 0;
    for (int word = 0; word < words_of(p.heads); ++word) {
        heads += __popc(${ plan.summed }_heads(p, row, word));
    }
    return heads;
}

// Lists row tiles, of ${ step.threads } at a time those that sum most heads first.
// Launch: one CTA.
extern "C" __global__ void __launch_bounds__(${ step.threads })
${ step.entry }(const __grid_constant__ Params p) {
    __shared__ int heads[${ step.threads }];
    let_next_launch_start();
    const int all = p.batch * p.row_tiles;
    for (int first = 0; first < all; first += ${ step.threads }) {
        const int at = first + threadIdx.x;
        const int own = at < all ? summed_heads(p, at) : 0;
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
