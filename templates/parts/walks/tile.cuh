//# part Tile
// The query rows that this CTA owns, and where its sequence starts.
struct Tile {
    int b, h, i;          // batch item, query head, query block
    int first_q;          // first query token, counted in its sequence
    int n_q, n_kv;        // tokens of the sequence
    i64 q_row, kv_row;    // rows of Q and of K, V before the sequence
};
//# part rest of a tile
    tile.i = tile.first_q / kBlockQ;
//% if plan.ragged
    tile.q_row = p.q_indptr[tile.b];
    tile.kv_row = p.kv_indptr[tile.b];
    tile.n_q = p.q_indptr[tile.b + 1] - p.q_indptr[tile.b];
    tile.n_kv = p.kv_indptr[tile.b + 1] - p.kv_indptr[tile.b];
//% else
    tile.q_row = (i64)tile.b * p.n_q;
    tile.kv_row = (i64)tile.b * p.n_kv;
    tile.n_q = p.n_q;
    tile.n_kv = p.n_kv;
//% endif
    return tile;
//# part tile_of_rows
// The tile whose first query row is known.
DEVICE Tile tile_of_rows(const Params& p, int b, int h, int first_q) {
    Tile tile;
    tile.b = b;
    tile.h = h;
    tile.first_q = first_q;
//% include "rest of a tile"
}
//# part q_tile_at
// Tile `at` of all: a head's, all heads', all batch items'.
DEVICE Tile q_tile_at(const Params& p, int at) {
//% if plan.roles
    return tile_of_rows(p, at / p.q_tiles / p.heads, at / p.q_tiles % p.heads,
                        at % p.q_tiles * kTileQ);
//% else
    Tile tile;
    tile.b = at / p.q_tiles / p.heads;
    tile.h = at / p.q_tiles % p.heads;
    tile.first_q = at % p.q_tiles * kTileQ;
//% include "rest of a tile"
//% endif
}
//# part tile_of_cta
// The loop's registers are full of accumulators: the epilogue works this out again instead of
// keeping it.
DEVICE Tile tile_of_cta(const Params& p) {
//% if plan.heaviest_first
    return q_tile_at(p, p.tiles[1 + cta_x()]);
//% else
    Tile tile;
    tile.b = cta_z();
    tile.h = cta_y();
    tile.first_q = cta_x() * kTileQ;
//% include "rest of a tile"
//% endif
}
//# part q_offset
// Where row `row` of the tile stands in Q and O, at this head.
DEVICE i64 q_offset(const Params& p, const Tile& tile, int row) {
    return ((tile.q_row + tile.first_q + row) * p.heads + tile.h) * kHeadDim;
}
//# part lse_offset
// Where row `row` of the tile stands in lse.
DEVICE i64 lse_offset(const Params& p, const Tile& tile, int row) {
//% if plan.ragged
    return (i64)tile.h * p.total_q + tile.q_row + tile.first_q + row;
//% else
    return ((i64)tile.b * p.heads + tile.h) * p.n_q + tile.first_q + row;
//% endif
}
