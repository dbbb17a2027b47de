//# part HeadTile
// A tile of Q as it is listed and handed on: rows, and the columns of up to kTileHeads heads of
// theirs, which need not be neighbours.
struct HeadTile {
//% if plan.together
    u32 row_tile;    // of all items of a projection; from kProjectionAt on, which one
//% else
    u32 row_tile;    // of all batch items
//% endif
    u32 heads[2];    // 16 bits each
    u32 computed;    // kSubtilesMost bits each: its computed subtiles; none: the head is not there
};
//# part Projections
// The projections of a launch, in the order of their tiles: what one of them does not have is null,
// and those that are not there have no tiles.
struct Projections {
    Params of[kMostProjections];
};
//# part kProjectionAt
constexpr int kProjectionAt = 24;    // bits of a row tile
//# part projection_of
// The projection that a tile belongs to.
DEVICE const Params& projection_of(const Projections& projections, const HeadTile& tile) {
    return projections.of[tile.row_tile >> kProjectionAt];
}
//# part row_tile_of
// The row tile in its projection.
DEVICE u32 row_tile_of(const HeadTile& tile) {
    return tile.row_tile & ((1 << kProjectionAt) - 1);
}
//# part kSubtilesMost
constexpr int kSubtilesMost = 4;    // of 32 rows
//# part head_tile_of
DEVICE HeadTile head_tile_of(uint4 v) { return {v.x, {v.y, v.z}, v.w}; }
//# part head_of
DEVICE int head_of(const HeadTile& tile, int n) { return tile.heads[n / 2] >> n % 2 * 16 & 0xffff; }
//# part computed_of
DEVICE u32 computed_of(const HeadTile& tile, int n) {
    return tile.computed >> n * kSubtilesMost & ((1 << kSubtilesMost) - 1);
}
//# part add_head
// Head `head` as the n-th of a tile. Places that stay free repeat the first head.
DEVICE void add_head(HeadTile& tile, int n, int head, u32 computed) {
    if (n == 0) {
        tile.heads[0] = tile.heads[1] = head | head << 16;
    }
    const u32 mask = 0xffffu << n % 2 * 16;
    tile.heads[n / 2] = (tile.heads[n / 2] & ~mask) | head << n % 2 * 16;
    tile.computed |= computed << n * kSubtilesMost;
}
//# part half_of
// The first or the second half of the heads of a tile.
DEVICE HeadTile half_of(const HeadTile& tile, int half) {
//% if plan.tile_heads == 4
    const u32 heads = half == 0 ? tile.heads[0] : tile.heads[1];
    return {tile.row_tile, {heads, 0}, tile.computed >> half * 2 * kSubtilesMost & 0xff};
//% else
    const u32 computed = tile.computed >> half * kSubtilesMost & 0xf;
    return {tile.row_tile, {tile.heads[0] >> half * 16, 0}, computed};
//% endif
}
//# part is_whole
// Whether its heads fill more than half of a tile.
DEVICE bool is_whole(const HeadTile& tile) {
    return tile.computed >> kTileHeads / 2 * kSubtilesMost != 0;
}
//# part output_tile
// Its rows, and the n-th of its heads, as a tile of one head.
DEVICE OutputTile output_tile(const Params& p, const HeadTile& tile, int n) {
    OutputTile output;
//% set row_tile = "row_tile_of(tile)" if plan.together else "tile.row_tile"
    output.b = ${ row_tile } / p.row_tiles;
    output.first_token = (p.first_row_tile + ${ row_tile } % p.row_tiles) * kTileQ;
    output.column = head_of(tile, n);
    return output;
}
