//# part OutputTile
// The rows and columns of the product that this CTA computes. Tiles start at multiples of kTileQ in
// the joint sequence, wherever the stream starts, so blocks meet them as they meet attention's.
struct OutputTile {
    int b;              // batch item
    int first_token;    // of the joint sequence
    int column;         // which of the tiles along the columns
};
//# part tile_at
// Tile `at` of the product. CTAs that run together share rows of both operands: columns are walked
// inside groups of row tiles.
DEVICE OutputTile tile_at(const Params& p, int at) {
    OutputTile tile;
    tile.b = at / (p.row_tiles * p.column_tiles);
    at %= p.row_tiles * p.column_tiles;
    const int first_row = at / (kGroupTiles * p.column_tiles) * kGroupTiles;
    const int rows = min(kGroupTiles, p.row_tiles - first_row);
    at -= first_row * p.column_tiles;
    tile.column = at / rows;
    tile.first_token = (p.first_row_tile + first_row + at % rows) * kTileQ;
    return tile;
}
//# part is_inside
// Whether a row of the tile belongs to the stream.
DEVICE bool is_inside(const Params& p, const OutputTile& tile, int row) {
    return (u32)(tile.first_token + row - p.first_token) < p.rows;
}
//# part holds_rows
// Whether any row from `row` up to `row + rows` does.
DEVICE bool holds_rows(const Params& p, const OutputTile& tile, int row, int rows) {
    const int token = tile.first_token + row;
    return token + rows > p.first_token && token < p.first_token + p.rows;
}
//# part block_of_subtile
// The block of a subtile, which is kSubtileRows rows of the tile, as a row of S_c.
DEVICE int block_of_subtile(const Params& p, const OutputTile& tile, int subtile) {
    return tile.b * p.q_blocks + (tile.first_token + subtile * kSubtileRows) / kBlockQ;
}
//# part computed_subtiles
// Bit n: subtile n of a tile of Q has rows of the stream, and its S_c is 1.
DEVICE u32 computed_subtiles(const Params& p, const OutputTile& tile) {
    u32 computed = 0;
    UNROLL for (int n = 0; n < kSubtiles; ++n) {
        if (holds_rows(p, tile, n * kSubtileRows, kSubtileRows) &&
            is_computed(p.s_c, block_of_subtile(p, tile, n), p.heads, tile.column)) {
            computed |= 1u << n;
        }
    }
    return computed;
}
//# part is_in_y
// Whether Y has 16-byte chunk `chunk` of the tile's row `row`.
DEVICE bool is_in_y(const Params& p, const OutputTile& tile, int row, int chunk) {
    return is_inside(p, tile, row) && tile.column * kTileN + chunk * 8 < p.width;
}
//# part y_offset
// Where that chunk stands in Y.
DEVICE i64 y_offset(const Params& p, const OutputTile& tile, int row, int chunk) {
    const i64 token = (i64)tile.b * p.rows + tile.first_token + row - p.first_token;
    return token * p.width + tile.column * kTileN + chunk * 8;
}
