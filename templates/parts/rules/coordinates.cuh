//# part GridPoint
struct GridPoint {
    int t, h, w;
};
//# part tile_point
// The (t, h, w) index of the tile that holds a token; -1 outside the grid.
DEVICE GridPoint tile_point(const Params& p, int pos) {
    const int index = pos - p.grid_first;
    if (index < 0 || pos >= p.grid_end) {
        return GridPoint{-1, -1, -1};
    }
    const int tile = index / (p.tile_t * p.tile_h * p.tile_w);
    return GridPoint{tile / (p.tiles_h * p.tiles_w), tile / p.tiles_w % p.tiles_h,
                     tile % p.tiles_w};
}
//# part grid_point
// The (t, h, w) coordinates of a token; -1 outside the grid.
DEVICE GridPoint grid_point(const Params& p, int pos) {
//% if plan.tiled
    const GridPoint tile = tile_point(p, pos);
    if (tile.t < 0) {
        return tile;
    }
    const int inner = (pos - p.grid_first) % (p.tile_t * p.tile_h * p.tile_w);
    return GridPoint{tile.t * p.tile_t + inner / (p.tile_h * p.tile_w),
                     tile.h * p.tile_h + inner / p.tile_w % p.tile_h,
                     tile.w * p.tile_w + inner % p.tile_w};
//% else
    const int index = pos - p.grid_first;
    if (index < 0 || pos >= p.grid_end) {
        return GridPoint{-1, -1, -1};
    }
    return GridPoint{index / (p.grid_h * p.grid_w), index / p.grid_w % p.grid_h, index % p.grid_w};
//% endif
}
//# part cell_in_frame
// Place of a token in its frame; -1 outside the grid.
DEVICE int cell_in_frame(const Params& p, int pos) {
    const GridPoint at = grid_point(p, pos);
    return at.t < 0 ? -1 : at.h * p.grid_w + at.w;
}
//# part triple_at
DEVICE GridPoint triple_at(const int* entry) { return GridPoint{entry[0], entry[1], entry[2]}; }
//# part near_on_axis
// The window of `window` tiles around `a`, moved inwards at the borders so that it keeps its size.
// A reach beyond these ends says the same as the end.
DEVICE bool near_on_axis(int a, int b, int window, int tiles) {
    const int reach = max(-1, min(window / 2, tiles));
    return abs(max(reach, min(a, tiles - 1 - reach)) - b) <= reach;
}
//# part near
DEVICE bool near(const Params& p, GridPoint a, GridPoint b, GridPoint window) {
    return near_on_axis(a.t, b.t, window.t, p.tiles_t)
        && near_on_axis(a.h, b.h, window.h, p.tiles_h)
        && near_on_axis(a.w, b.w, window.w, p.tiles_w);
}
