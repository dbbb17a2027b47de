//# part passes_of
// The rows of a piece of the tile as Operands counts them.
static __device__ __forceinline__ u32 passes_of(int piece) {
    return ((1u << kPieceRows / kRowsPerPass) - 1) << piece * (kPieceRows / kRowsPerPass);
}
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
static __device__ __forceinline__ OutputTile tile_at(const Params& p, int at) {
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
static __device__ __forceinline__ bool is_inside(const Params& p, const OutputTile& tile, int row) {
    return (u32)(tile.first_token + row - p.first_token) < p.rows;
}
//# part holds_rows
// Whether any row from `row` up to `row + rows` does.
static __device__ __forceinline__ bool holds_rows(const Params& p, const OutputTile& tile, int row,
                                                  int rows) {
    const int token = tile.first_token + row;
    return token + rows > p.first_token && token < p.first_token + p.rows;
}
//# part block_of_piece
// The block of a piece, which is kPieceRows rows of the tile, as a row of S_c.
static __device__ __forceinline__ int block_of_piece(const Params& p, const OutputTile& tile,
                                                     int piece) {
    return tile.b * p.q_blocks + (tile.first_token + piece * kPieceRows) / kBlockQ;
}
