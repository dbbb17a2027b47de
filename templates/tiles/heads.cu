// ---- computed tiles ----------------------------------------------------------------------------

// The heads of word `word` of S_c with a computed subtile in a row tile; bit h of the n-th of
// `subtiles`: subtile n of head h is one.
DEVICE u32 computed_heads(const Params& p, const OutputTile& rows, int word,
                          u32 (&subtiles)[kSubtiles]) {
    u32 any = 0;
    UNROLL for (int n = 0; n < kSubtiles; ++n) {
        const bool held = holds_rows(p, rows, n * kSubtileRows, kSubtileRows);
        const i64 row = block_of_subtile(p, rows, n);
        subtiles[n] = held ? p.s_c[row * words_of(p.heads) + word] : 0;
        any |= subtiles[n];
    }
    return any;
}

DEVICE OutputTile rows_of(const Params& p, int row_tile) {
    return {row_tile / p.row_tiles, (p.first_row_tile + row_tile % p.row_tiles) * kTileQ, 0};
}

// How many tiles the computed heads of a row tile fill.
DEVICE int count_tiles(const Params& p, int row_tile) {
    int heads = 0;
    for (int word = 0; word * 32 < p.heads; ++word) {
        u32 subtiles[kSubtiles];
        heads += __popc(computed_heads(p, rows_of(p, row_tile), word, subtiles));
    }
    return (heads + kTileHeads - 1) / kTileHeads;
}

// A walk over the computed heads of a row tile.
struct Heads {
    OutputTile rows;
    int word;
    u32 left;    // of that word
    u32 subtiles[kSubtiles];
};

// Takes up to kTileHeads heads. None: all are taken.
DEVICE HeadTile next_tile(Heads& heads, const Params& p, int row_tile) {
    HeadTile tile = {};
    tile.row_tile = row_tile;
    for (int n = 0; n < kTileHeads; ++n) {
        while (heads.left == 0 && (heads.word + 1) * 32 < p.heads) {
            ++heads.word;
            heads.left = computed_heads(p, heads.rows, heads.word, heads.subtiles);
        }
        if (heads.left == 0) {
            break;
        }
        const int bit = __ffs(heads.left) - 1;
        heads.left &= heads.left - 1;
        u32 computed = 0;
        UNROLL for (int s = 0; s < kSubtiles; ++s) {
            computed |= (heads.subtiles[s] >> bit & 1) << s;
        }
        add_head(tile, n, heads.word * 32 + bit, computed);
    }
    return tile;
}

// Tiles of earlier threads of the CTA, and adds all of them to `listed`.
DEVICE u32 tiles_before(u32 tiles, u32& listed, u32 (&in_warps)[${ step.threads } / 32]) {
    const int lane = threadIdx.x % 32;
    u32 before = tiles;
    UNROLL for (int step = 1; step < 32; step *= 2) {
        const u32 other = __shfl_up_sync(0xffffffffu, before, step);
        before += lane >= step ? other : 0;
    }
    if (lane == 31) {
        in_warps[threadIdx.x / 32] = before;
    }
    __syncthreads();
    before += listed - tiles;
    UNROLL for (int w = 0; w < ${ step.threads } / 32; ++w) {
        before += w < threadIdx.x / 32 ? in_warps[w] : 0;
        listed += in_warps[w];
    }
    __syncthreads();
    return before;
}

// Lists the computed tiles, behind how many there are: groups of kGroupTiles row tiles one after
// another, and in a group the first tile of each row tile, then the second one of each, and so on.
//% if plan.together
// Launch: a CTA for each projection; those without S_c have no list.
//% else
// Launch: one CTA.
//% endif
extern "C" __global__ void __launch_bounds__(${ step.threads })
//% if plan.together
${ step.entry }(const __grid_constant__ Projections projections) {
    const Params& p = projections.of[cta_x()];
//% else
${ step.entry }(const __grid_constant__ Params p) {
//% endif
    __shared__ u32 in_warps[${ step.threads } / 32];
    let_next_launch_start();
//% if plan.together
    if (cta_x() == 0 && threadIdx.x == 0) {
        *p.tiles_taken = 0;
    }
    if (p.s_c == nullptr) {
        return;
    }
//% endif
    const int all = p.batch * p.row_tiles;
    const int in_group = threadIdx.x % kGroupTiles;
    const int group_lane = threadIdx.x % 32 - in_group;
    u32 listed = 0;
    for (int first = 0; first < all; first += ${ step.threads }) {
        const int row_tile = first + threadIdx.x;
        const u32 tiles = row_tile < all ? count_tiles(p, row_tile) : 0;
        const u32 before = tiles_before(tiles, listed, in_warps);
        u32 place = __shfl_sync(0xffffffffu, before, group_lane);
        Heads heads = {};
        heads.rows = rows_of(p, row_tile);
        heads.word = -1;
        u32 left = tiles;
        while (__any_sync(0xffffffffu, left != 0)) {
            const u32 warp_votes = __ballot_sync(0xffffffffu, left != 0);
            const u32 votes = warp_votes >> group_lane & ((1 << kGroupTiles) - 1);
            if (left != 0) {
                const HeadTile tile = next_tile(heads, p, row_tile);
                const u32 at = place + __popc(votes & ((1u << in_group) - 1));
                *(uint4*)(p.tiles + kListAt + at * 4) =
                    {tile.row_tile, tile.heads[0], tile.heads[1], tile.computed};
                --left;
            }
            place += __popc(votes);
        }
    }
    if (threadIdx.x == 0) {
        p.tiles[0] = listed;
//% if not plan.together
        *p.tiles_taken = 0;
//% endif
    }
}
