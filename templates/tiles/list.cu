// ---- computed tiles ----------------------------------------------------------------------------

// Lists the tiles with computed rows in the order of their walk, behind how many there are.
// Launch: one CTA.
extern "C" __global__ void __launch_bounds__(${ step.threads })
${ step.entry }(const __grid_constant__ Params p) {
    __shared__ u32 in_warps[${ step.threads } / 32];
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    const int all = p.batch * p.row_tiles * p.column_tiles;
    u32 listed = 0;
    for (int first = 0; first < all; first += ${ step.threads }) {
        const int at = first + threadIdx.x;
        const bool computed = at < all && computed_subtiles(p, tile_at(p, at)) != 0;
        const u32 votes = __ballot_sync(0xffffffffu, computed);
        if (lane == 0) {
            in_warps[warp] = __popc(votes);
        }
        __syncthreads();
        u32 place = listed + __popc(votes & ((1u << lane) - 1));
        UNROLL for (int w = 0; w < ${ step.threads } / 32; ++w) {
            place += w < warp ? in_warps[w] : 0;
            listed += in_warps[w];
        }
        if (computed) {
            p.tiles[1 + place] = at;
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        p.tiles[0] = listed;
    }
}
