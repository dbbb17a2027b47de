// ---- heaviest tiles first ----------------------------------------------------------------------

constexpr int kStretch = 4096;    // most tiles that a CTA ranks together
constexpr int kMerged = 528;      // tiles of the last heads that are ranked together, at most

// How many heads at the end of the list are one group: CTAs finish together if what they take last
// is small, and run faster if what they take together is of one head.
DEVICE int merged_heads(const Params& p) {
    return min(max(kMerged / p.q_tiles, 1), p.batch * p.heads);
}

// How much a tile has to do: 0, it is not listed; else one more than its computed kv blocks.
DEVICE u32 weight_of(const Params& p, int at) {
    const Tile tile = q_tile_at(p, at);
//% if plan.ragged
    if (tile.first_q >= tile.n_q) {
        return 0;
    }
//% endif
    if (!is_computed(p.s_c, tile.b * p.q_blocks + tile.i, p.heads, tile.h)) {
        return ${ "1" if step.lists_cached else "0" };
    }
    return min(1 + computed_blocks(p, tile), (1 << 20) - 1);    // times kStretch is u32
}

// Sum over the threads of the CTA, which all call it.
DEVICE int sum_of_threads(int x) {
    __shared__ int of_warps[${ step.threads } / 32];
    x = warp_count(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        of_warps[threadIdx.x / 32] = x;
    }
    __syncthreads();
    int sum = 0;
    UNROLL for (int warp = 0; warp < ${ step.threads } / 32; ++warp) {
        sum += of_warps[warp];
    }
    return sum;
}

// How many tiles of the heads before `head` are listed; heads of one item before those of the next.
DEVICE int listed_before(const Params& p, int head) {
//% if not step.lists_cached
    const int words = words_of(p.heads);
//% endif
    int listed = 0;
    for (int row = threadIdx.x; row < p.batch * p.q_blocks; row += ${ step.threads }) {
        const int b = row / p.q_blocks;
        const int heads = min(max(head - b * p.heads, 0), p.heads);
//% if plan.ragged
        const int n_q = p.q_indptr[b + 1] - p.q_indptr[b];
//% else
        const int n_q = p.n_q;
//% endif
        const int rows = min(n_q - row % p.q_blocks * kBlockQ, kBlockQ);
        const int tiles = max(rows + kTileQ - 1, 0) / kTileQ;
//% if step.lists_cached
        listed += heads * tiles;
//% else
        for (int word = 0; word * 32 < heads; ++word) {
            const int left = heads - word * 32;
            const u32 bits = p.s_c[row * words + word];
            listed += tiles * __popc(left < 32 ? bits & ((1u << left) - 1) : bits);
        }
//% endif
    }
    return sum_of_threads(listed);
}

// Lists the tiles that have something to do, behind how many there are: head after head, so that
// CTAs that run together share K and V, and of a head those with most computed kv blocks first.
// Each tile counts those of its group that come before it.
// Launch: a CTA for each head.
extern "C" __global__ void __launch_bounds__(${ step.threads })
${ step.entry }(const __grid_constant__ Params p) {
    __shared__ __align__(16) u32 keys[kStretch];
//% if step.resident
    let_next_launch_start();
//% endif
    const int heads = p.batch * p.heads;
    const int own = cta_x();
    const int first_merged = heads - merged_heads(p);
    const bool merges = own >= first_merged && (heads - first_merged) * p.q_tiles <= kStretch;
    const int end = (merges ? heads : own + 1) * p.q_tiles;
    int first = (merges ? first_merged : own) * p.q_tiles;
    int before = listed_before(p, merges ? first_merged : own);
    for (; first < end; first += kStretch) {
        // Larger comes first. No two are equal: among tiles as heavy the first comes first.
        const int tiles = min(end - first, kStretch);
        int listed = 0;
        for (int n = threadIdx.x; n < (tiles + 3) / 4 * 4; n += ${ step.threads }) {
            const u32 weight = n < tiles ? weight_of(p, first + n) : 0;
            keys[n] = weight == 0 ? 0 : weight * kStretch + (kStretch - 1 - n);
            listed += weight != 0;
        }
        listed = sum_of_threads(listed);
        for (int n = threadIdx.x; n < tiles; n += ${ step.threads }) {
            const u32 key = keys[n];
            if (key == 0 || (merges && (first + n) / p.q_tiles != own)) {
                continue;
            }
            int place = before;
            for (int m = 0; m < tiles; m += 4) {
                const uint4 others = *(const uint4*)&keys[m];
                place += (others.x > key) + (others.y > key) + (others.z > key) + (others.w > key);
            }
            p.tiles[1 + place] = first + n;
        }
        before += listed;
        __syncthreads();
    }
    if (own == heads - 1 && threadIdx.x == 0) {
        p.tiles[0] = before;
//% if step.resident
        *p.tiles_taken = 0;
//% endif
    }
}
