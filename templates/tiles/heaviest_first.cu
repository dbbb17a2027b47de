// ---- heaviest tiles first ----------------------------------------------------------------------

constexpr int kClasses = 32;    // of weight; the heaviest is 0
constexpr int kWarps = ${ step.threads } / 32;
static_assert(kClasses * kWarps == ${ step.threads }, "a thread for each class of each warp");

// The class of tile `at`; kClasses: it is not listed. Tiles of fewer than eight computed kv blocks
// share a class with their like alone, and beyond that each doubling has four classes.
DEVICE int class_of(const Params& p, int at) {
    const Tile tile = q_tile_at(p, at);
//% if plan.ragged
    if (tile.first_q >= tile.n_q) {
        return kClasses;
    }
//% endif
    if (!is_computed(p.s_c, tile.b * p.q_blocks + tile.i, p.heads, tile.h)) {
//% if plan.forecast
        return kClasses - 1;
//% else
        return kClasses;
//% endif
    }
    const int blocks = computed_blocks(p, tile);
    const int halvings = max(0, 29 - __clz(blocks));
    return max(0, kClasses - 1 - (halvings * 4 + (blocks >> halvings)));
}

// Turns how many tiles of each class each warp has into where the first of them goes: classes in
// order, in a class the warps. Gives how many come before the next thread's.
DEVICE u32 counts_to_places(u32 (&next)[kClasses][kWarps + 1]) {
    __shared__ int of_class[kClasses];
    const int row = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    const u32 own = next[row][lane];
    u32 up_to = own;
    UNROLL for (int lanes = 1; lanes < 32; lanes *= 2) {
        const u32 below = __shfl_up_sync(0xffffffffu, up_to, lanes);
        up_to += lane >= lanes ? below : 0;
    }
    if (lane == 31) {
        of_class[row] = up_to;
    }
    __syncthreads();
    up_to += warp_count(lane < row ? of_class[lane] : 0);
    next[row][lane] = up_to - own;
    return up_to;
}

// Lists the tiles that have work, behind how many there are: those with most computed kv blocks
// first, and those of a class in the order of all, so that CTAs that run together share K and V of
// a head. A counting sort: each warp counts the tiles of a stretch, and then places them.
// Launch: one CTA.
extern "C" __global__ void __launch_bounds__(${ step.threads })
${ step.entry }(const __grid_constant__ Params p) {
    __shared__ u32 next[kClasses][kWarps + 1];    // a column more: classes lie in other banks
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    const int all = p.batch * p.heads * p.q_tiles;
    const int stretch = (all + ${ step.threads - 1 }) / ${ step.threads } * 32;
    next[warp][lane] = 0;
    __syncthreads();
    #pragma unroll 1
    for (int pass = 0; pass < 2; ++pass) {
        #pragma unroll 1
        for (int n = 0; n < stretch; n += 32) {
            const int at = warp * stretch + n + lane;
            const int of = at < all ? class_of(p, at) : kClasses;
            const u32 alike = __match_any_sync(0xffffffffu, of);
            const int before = __popc(alike & ((1u << lane) - 1));
            if (pass == 1 && of < kClasses) {
                p.tiles[1 + next[of][warp] + before] = at;
            }
            __syncwarp();
            if (before == 0 && of < kClasses) {
                next[of][warp] += __popc(alike);
            }
            __syncwarp();
        }
        __syncthreads();
        if (pass == 0) {
            const u32 listed = counts_to_places(next);
            if (threadIdx.x == ${ step.threads - 1 }) {
                p.tiles[0] = listed;
            }
            __syncthreads();
        }
    }
}
