//# part KvTile
// A kv tile of the walk.
struct KvTile {
    int kv;          // its first token; -1 after the last one
//% if plan.mask
    bool partial;    // its block needs the element test
//% endif
};
//# part Walk
// A walk over the kv tiles that one row of S_s computes, in ascending order.
struct Walk {
    int row;            // index of the row's first word of S_s
    int word;           // the present word, counted from there
    u32 blocks;         // of that word, still to be visited
    KvTile now;         // the present tile
};
//# part next_computed_block
DEVICE void next_computed_block(Walk& walk, const Params& p${ ", int n_kv" if plan.ragged }) {
    while (walk.blocks == 0) {
        ++walk.word;
        if (walk.word * 32 >= p.kv_blocks) {
            walk.now.kv = -1;
            return;
        }
        walk.blocks = p.s_s[walk.row + walk.word];
    }
    const int bit = __ffs(walk.blocks) - 1;
    walk.blocks &= walk.blocks - 1;
    walk.now.kv = (walk.word * 32 + bit) * kBlockKv;
//% if plan.mask
    walk.now.partial = !(p.s_f[walk.row + walk.word] >> bit & 1);
//% endif
//% if plan.ragged
    if (walk.now.kv >= n_kv) {
        walk.now.kv = -1;
    }
//% endif
}
//# part next_kv_tile
DEVICE void next_kv_tile(Walk& walk, const Params& p, int n_kv) {
//% if plan.block_kv > plan.tile_kv
    const int kv = walk.now.kv + kTileKv;
    if (kv % kBlockKv != 0 && kv < n_kv) {
        walk.now.kv = kv;
        return;
    }
//% endif
    next_computed_block(walk, p${ ", n_kv" if plan.ragged });
}
//# part first_kv_tile
DEVICE Walk first_kv_tile(const Params& p, const Tile& tile) {
    const int row = (tile.b * p.heads + tile.h) * p.q_blocks + tile.i;
    Walk walk;
    walk.row = row * words_of(p.kv_blocks);
    walk.word = 0;
    walk.blocks = p.kv_blocks > 0 ? p.s_s[walk.row] : 0;
    next_computed_block(walk, p${ ", tile.n_kv" if plan.ragged });
    return walk;
}
//# part computed_blocks
// How many kv blocks the walk of a tile visits.
DEVICE int computed_blocks(const Params& p, const Tile& tile) {
    const int row = (tile.b * p.heads + tile.h) * p.q_blocks + tile.i;
    const int blocks = (tile.n_kv + kBlockKv - 1) / kBlockKv;
    int computed = 0;
    for (int word = 0; word * 32 < blocks; ++word) {
        const int left = blocks - word * 32;
        const u32 bits = p.s_s[row * words_of(p.kv_blocks) + word];
        computed += __popc(left < 32 ? bits & ((1u << left) - 1) : bits);
    }
    return computed;
}
