//# part HeadWalk
// A walk over the heads that some subtile of the tile sums, in ascending order, kTileK columns of
// one at a time.
struct HeadWalk {
//% if plan.summed == "both"
    bool cached;              // over cached heads, otherwise over active ones
//% endif
    int word;                 // the present word of the rows of S_c
    u32 bits[kSubtiles];      // of that word: the heads that each subtile sums
    u32 heads;                // of that word, still to be visited
    u32 subtiles;             // bit n: subtile n sums the present head
    int column;               // where the present k-slice starts in a row of O; -1 after the last
};
//# part active_heads
// The heads of word `word` of a row of S_c that are computed.
DEVICE u32 active_heads(const Params& p, int row, int word) {
    return p.s_c[(i64)row * words_of(p.heads) + word];
}
//# part cached_heads
// The heads of word `word` of a row of S_c that are not. A row ends inside its last word.
DEVICE u32 cached_heads(const Params& p, int row, int word) {
    const int heads = p.heads - word * 32;
    const u32 all = heads < 32 ? (1u << heads) - 1 : 0xffffffffu;
    return ~p.s_c[(i64)row * words_of(p.heads) + word] & all;
}
//# part count_heads
//% set counted = "active" if plan.summed == "both" else plan.summed
// How many ${ counted } heads a tile has whose rows are all of one block.
DEVICE int count_heads(const Params& p, const OutputTile& tile) {
    const int row = block_of_subtile(p, tile, 0);
    int heads = 0;
    for (int word = 0; word * 32 < p.heads; ++word) {
        heads += __popc(${ counted }_heads(p, row, word));
    }
    return heads;
}
//# part read_heads
// The heads of word `walk.word` that each subtile of the tile sums.
DEVICE void read_heads(HeadWalk& walk, const Params& p, const OutputTile& tile) {
    walk.heads = 0;
    UNROLL for (int n = 0; n < kSubtiles; ++n) {
        walk.bits[n] = 0;
        if (holds_rows(p, tile, n * kSubtileRows, kSubtileRows)) {
            const int row = block_of_subtile(p, tile, n);
//% if plan.summed == "both"
            walk.bits[n] = walk.cached ? cached_heads(p, row, walk.word)
                                       : active_heads(p, row, walk.word);
//% else
            walk.bits[n] = ${ plan.summed }_heads(p, row, walk.word);
//% endif
        }
        walk.heads |= walk.bits[n];
    }
}
//# part next_head
DEVICE void next_head(HeadWalk& walk, const Params& p, const OutputTile& tile) {
    while (walk.heads == 0) {
        ++walk.word;
        if (walk.word * 32 >= p.heads) {
            walk.column = -1;
            return;
        }
        read_heads(walk, p, tile);
    }
    const int bit = __ffs(walk.heads) - 1;
    walk.heads &= walk.heads - 1;
    walk.column = (walk.word * 32 + bit) * kHeadDim;
    walk.subtiles = 0;
    UNROLL for (int n = 0; n < kSubtiles; ++n) {
        walk.subtiles |= (walk.bits[n] >> bit & 1) << n;
    }
}
//# part next_k_slice
DEVICE void next_k_slice(HeadWalk& walk, const Params& p, const OutputTile& tile) {
    walk.column += kTileK;
    if (walk.column % kHeadDim == 0) {
        next_head(walk, p, tile);
    }
}
//# part over_active_heads
DEVICE HeadWalk over_active_heads(const Params& p, const OutputTile& tile) {
    HeadWalk walk = {};
    walk.word = -1;
    next_head(walk, p, tile);
    return walk;
}
//# part over_cached_heads
DEVICE HeadWalk over_cached_heads(const Params& p, const OutputTile& tile) {
    HeadWalk walk = {};
//% if plan.summed == "both"
    walk.cached = true;
//% endif
    walk.word = -1;
    next_head(walk, p, tile);
    return walk;
}
