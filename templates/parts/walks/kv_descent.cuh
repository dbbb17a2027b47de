//# part valid_blocks
// Kv blocks of the tile's sequence.
DEVICE int valid_blocks(const Tile& tile) { return (tile.n_kv + kBlockKv - 1) / kBlockKv; }
//# part symbol_row
// Index of the first word of the tile's row of S_s.
DEVICE int symbol_row(const Params& p, const Tile& tile) {
    return ((tile.b * p.heads + tile.h) * p.q_blocks + tile.i) * words_of(p.kv_blocks);
}
//# part computed_in_word
// The kv blocks of word `word` of a row that are computed; bits from `blocks` on do not count.
DEVICE u32 computed_in_word(const Params& p, int row, int word, int blocks) {
    const u32 bits = p.s_s[row + word];
    const int left = blocks - word * 32;
    return left < 32 ? bits & ((1u << left) - 1) : bits;
}
//# part count_kv_tiles
// How many kv tiles a descent over a row visits: the lanes of a warp count together.
DEVICE int count_kv_tiles(const Params& p, const Tile& tile) {
    const int blocks = valid_blocks(tile);
    int computed = 0;
    #pragma unroll 1
    for (int word = thread_x() % 32; word * 32 < blocks; word += 32) {
        const u32 bits = computed_in_word(p, symbol_row(p, tile), word, blocks);
//% if plan.block_kv > plan.tile_kv
        computed += __popc(bits) * (kBlockKv / kTileKv);
        // The last block may end early.
        if ((blocks - 1) / 32 == word && bits >> (blocks - 1) % 32 & 1) {
            computed -= (blocks * kBlockKv - tile.n_kv) / kTileKv;
        }
//% else
        computed += __popc(bits);
//% endif
    }
    return max(warp_count(computed), 1);
}
//# part Descent
// A walk over the kv tiles that a row of S_s computes, the last one first: so only a tile's first
// step meets the end of the sequence. A row that computes none visits one tile behind the end,
// whose rows are zeros and have no weight: nobody has to know of such rows.
struct Descent {
    int row;       // index of the row's first word of S_s
    int word;      // the present word, counted from there
    u32 blocks;    // of that word, still to be visited
    KvTile now;    // the present tile
};
//# part next_lower_kv_tile
DEVICE void next_lower_kv_tile(Descent& walk, const Params& p, const Tile& tile) {
//% if plan.block_kv > plan.tile_kv
    if (walk.now.kv % kBlockKv != 0) {
        walk.now.kv -= kTileKv;
        return;
    }
//% endif
    const int blocks = valid_blocks(tile);
    #pragma unroll 1
    while (walk.blocks == 0) {
        if (walk.word == 0) {
            walk.now.kv = blocks * kBlockKv;
//% if plan.mask
            walk.now.partial = false;
//% endif
            return;
        }
        --walk.word;
        walk.blocks = computed_in_word(p, walk.row, walk.word, blocks);
    }
    const int bit = 31 - __clz(walk.blocks);
    walk.blocks ^= 1u << bit;
    walk.now.kv = (walk.word * 32 + bit) * kBlockKv;
//% if plan.mask
    walk.now.partial = !(p.s_f[walk.row + walk.word] >> bit & 1);
//% endif
//% if plan.block_kv > plan.tile_kv
    // The last tile of the block that has tokens.
    walk.now.kv += (min(kBlockKv, tile.n_kv - walk.now.kv) - 1) / kTileKv * kTileKv;
//% endif
}
//# part last_kv_tile
DEVICE Descent last_kv_tile(const Params& p, const Tile& tile) {
    Descent walk = {};
    walk.row = symbol_row(p, tile);
    walk.word = (valid_blocks(tile) + 31) / 32;
    next_lower_kv_tile(walk, p, tile);
    return walk;
}
//# part note_kv_tile
// Leaves beside a stage which kv tile it holds.
DEVICE void note_kv_tile(u32 note, const KvTile& now) {
    store_shared(note, now.kv${ " | (now.partial ? 0x80000000u : 0)" if plan.mask });
}
//# part noted_kv_tile
DEVICE KvTile noted_kv_tile(u32 note) {
    const u32 noted = load_shared(note);
    KvTile now;
    now.kv = noted${ " & 0x7fffffff" if plan.mask };
//% if plan.mask
    now.partial = noted >> 31;
//% endif
    return now;
}
