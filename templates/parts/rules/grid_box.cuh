//# part Shape
// Extents of a grid, of a tile or of the grid of tiles.
struct Shape {
    int t, h, w;
};
//# part box_run
// Length of the longest run from `index` on, in raster order and of at most `most` elements, that
// fills a box: part of a row, whole rows, or whole planes.
DEVICE int box_run(Shape shape, int index, int most) {
    const int plane = shape.h * shape.w;
    if (index % plane == 0 && most >= plane) {
        return most / plane * plane;
    }
    if (index % shape.w == 0 && most >= shape.w) {
        return min(most / shape.w, shape.h - index / shape.w % shape.h) * shape.w;
    }
    return min(most, shape.w - index % shape.w);
}
//# part grid_run
// As box_run, over tokens of the grid: inside one tile, or over whole tiles.
DEVICE int grid_run(const Params& p, int index, int most) {
//% if plan.tiled
    const int tile_tokens = p.tile_t * p.tile_h * p.tile_w;
    const int inner = index % tile_tokens;
    if (inner == 0 && most >= tile_tokens) {
        const Shape tiles = {p.tiles_t, p.tiles_h, p.tiles_w};
        return box_run(tiles, index / tile_tokens, most / tile_tokens) * tile_tokens;
    }
    return box_run(Shape{p.tile_t, p.tile_h, p.tile_w}, inner, min(most, tile_tokens - inner));
//% else
    return box_run(Shape{p.grid_t, p.grid_h, p.grid_w}, index, most);
//% endif
}
//# part end_of_box
// The last token of the longest run, from the span's first on, that lies outside the grid or fills
// a box of it.
DEVICE int end_of_box(const Params& p, Span span) {
    if (span.first >= p.grid_end) {
        return span.last;
    }
    if (span.first < p.grid_first) {
        return min(span.last, p.grid_first - 1);
    }
    const int most = min(span.last + 1, p.grid_end) - span.first;
    return span.first + grid_run(p, span.first - p.grid_first, most) - 1;
}
//# part take_run
// Takes tokens off the front of a span that lie all inside the grid or all outside it.
DEVICE Span take_run(const Params& p, Span& rest) {
    Span next = rest;
    if (rest.first < p.grid_first) {
        next.last = min(rest.last, p.grid_first - 1);
    } else if (rest.first < p.grid_end) {
        next.last = min(rest.last, p.grid_end - 1);
    }
    rest.first = next.last + 1;
    return next;
}
