//# part kLeastInt
constexpr i64 kLeastInt = -2147483648LL;
//# part kMostInt
constexpr i64 kMostInt = 2147483647LL;
//# part Interval
// What an integer can be on a cell: the numbers from `first` to `last`, both included.
struct Interval {
    i64 first, last;
};
//# part Box
// What a point of the grid, or of its tiles, can be on a cell.
struct Box {
    Interval t, h, w;
};
//# part exactly
DEVICE Interval exactly(i64 x) { return Interval{x, x}; }
//# part anything
DEVICE Interval anything() { return Interval{kLeastInt, kMostInt}; }
//# part wrapped
// A result as 32 bits: anything if its ends wrap apart.
DEVICE Interval wrapped(Interval a) {
    const i64 turns = (a.first - kLeastInt) >> 32;
    if (turns != (a.last - kLeastInt) >> 32) {
        return anything();
    }
    return Interval{a.first - turns * 4294967296LL, a.last - turns * 4294967296LL};
}
//# part scaled
DEVICE Interval scaled(Interval a, i64 factor) {
    return factor < 0 ? Interval{a.last * factor, a.first * factor}
                      : Interval{a.first * factor, a.last * factor};
}
//# part spread
DEVICE Interval spread(Span span) { return Interval{span.first, span.last}; }
//# part sum_of
DEVICE Interval sum_of(Interval a, Interval b) {
    return Interval{a.first + b.first, a.last + b.last};
}
//# part meet
DEVICE Interval meet(Interval a, Interval b) {
    return Interval{max(a.first, b.first), min(a.last, b.last)};
}
//# part affine
// a q + b kv + c = (a + b) q - b (q - kv) + c = (a + b) kv + a (q - kv) + c: each form is a bound.
DEVICE Interval affine(const Cell& cell, i64 a, i64 b, i64 c) {
    const Interval q = spread(cell.q);
    const Interval kv = spread(cell.kv);
    const Interval diff = spread(cell.diff);
    Interval bound = sum_of(scaled(q, a), scaled(kv, b));
    bound = meet(bound, sum_of(scaled(q, a + b), scaled(diff, -b)));
    bound = meet(bound, sum_of(scaled(kv, a + b), scaled(diff, a)));
    return sum_of(bound, exactly(c));
}
//# part minus
DEVICE Interval minus(Interval a) { return wrapped(scaled(a, -1)); }
//# part plus
DEVICE Interval plus(Interval a, Interval b) { return wrapped(sum_of(a, b)); }
//# part difference
DEVICE Interval difference(Interval a, Interval b) { return wrapped(sum_of(a, scaled(b, -1))); }
//# part hull_of_corners
DEVICE Interval hull_of_corners(i64 a, i64 b, i64 c, i64 d) {
    return wrapped(Interval{min(min(a, b), min(c, d)), max(max(a, b), max(c, d))});
}
//# part times
DEVICE Interval times(Interval a, Interval b) {
    return hull_of_corners(a.first * b.first, a.first * b.last, a.last * b.first, a.last * b.last);
}
//# part holds_zero
DEVICE bool holds_zero(Interval a) { return a.first <= 0 && a.last >= 0; }
//# part magnitude
DEVICE u32 magnitude(i64 x) { return (u32)llabs(x); }
//# part divided
// x / y of numbers in 32 bits, without the subroutine that divides 64.
DEVICE i64 divided(i64 x, i64 y) {
    const i64 size = magnitude(x) / magnitude(y);
    return (x < 0) == (y < 0) ? size : -size;
}
//# part remaining
// x % y, as divided.
DEVICE i64 remaining(i64 x, i64 y) {
    const i64 size = magnitude(x) % magnitude(y);
    return x < 0 ? -size : size;
}
//# part quotient
DEVICE Interval quotient(Interval a, Interval b) {
    if (holds_zero(b)) {
        return anything();
    }
    return hull_of_corners(divided(a.first, b.first), divided(a.first, b.last),
                           divided(a.last, b.first), divided(a.last, b.last));
}
//# part distance
// |x|, which may be 2^31.
DEVICE Interval distance(Interval a) {
    const i64 first = llabs(a.first);
    const i64 last = llabs(a.last);
    return Interval{holds_zero(a) ? 0 : min(first, last), max(first, last)};
}
//# part absolute
DEVICE Interval absolute(Interval a) { return wrapped(distance(a)); }
//# part remainder_of
// With one quotient the numbers are only shifted.
DEVICE Interval remainder_of(Interval a, Interval b) {
    if (holds_zero(b)) {
        return anything();
    }
    if (b.first == b.last && divided(a.first, b.first) == divided(a.last, b.first)) {
        return Interval{remaining(a.first, b.first), remaining(a.last, b.first)};
    }
    const i64 most = distance(b).last - 1;
    return Interval{a.first < 0 ? -most : 0, a.last > 0 ? most : 0};
}
//# part least_of
DEVICE Interval least_of(Interval a, Interval b) {
    return Interval{min(a.first, b.first), min(a.last, b.last)};
}
//# part most_of
DEVICE Interval most_of(Interval a, Interval b) {
    return Interval{max(a.first, b.first), max(a.last, b.last)};
}
//# part bit_lengths
DEVICE Interval bit_lengths(Interval a) {
    return Interval{bit_length((int)a.first), bit_length((int)a.last)};
}
//# part values_in
// The least and the largest value of an input over the tokens of a span.
DEVICE Interval values_in(const int* values, Span tokens) {
    Interval found = exactly(values[tokens.first]);
    for (int pos = tokens.first + 1; pos <= tokens.last; ++pos) {
        found = Interval{min(found.first, (i64)values[pos]), max(found.last, (i64)values[pos])};
    }
    return found;
}
//# part point_of
DEVICE Box point_of(GridPoint at) { return Box{{at.t, at.t}, {at.h, at.h}, {at.w, at.w}}; }
//# part hull_of_run
// The least box that holds a run in raster order inside the box from `low` to `high`, as far as
// rows and planes tell.
DEVICE Box hull_of_run(GridPoint first, GridPoint last, GridPoint low, GridPoint high) {
    const bool in_plane = first.t == last.t;
    const bool in_row = in_plane && first.h == last.h;
    return Box{{first.t, last.t},
               {in_plane ? first.h : low.h, in_plane ? last.h : high.h},
               {in_row ? first.w : low.w, in_row ? last.w : high.w}};
}
//# part tile_box
// Tiles of tokens that lie all inside the grid or all outside it.
DEVICE Box tile_box(const Params& p, Span tokens) {
    return hull_of_run(tile_point(p, tokens.first), tile_point(p, tokens.last), GridPoint{0, 0, 0},
                       GridPoint{0, p.tiles_h - 1, p.tiles_w - 1});
}
//# part is_point
DEVICE bool is_point(Box box) {
    return box.t.first == box.t.last && box.h.first == box.h.last && box.w.first == box.w.last;
}
//# part grid_box
// Coordinates of tokens that lie all inside the grid or all outside it.
DEVICE Box grid_box(const Params& p, Span tokens) {
    const GridPoint first = grid_point(p, tokens.first);
    const GridPoint last = grid_point(p, tokens.last);
//% if plan.tiled
    const Box tile = tile_box(p, tokens);
    const GridPoint low = {(int)tile.t.first * p.tile_t, (int)tile.h.first * p.tile_h,
                           (int)tile.w.first * p.tile_w};
    const GridPoint high = {(int)tile.t.last * p.tile_t + p.tile_t - 1,
                            (int)tile.h.last * p.tile_h + p.tile_h - 1,
                            (int)tile.w.last * p.tile_w + p.tile_w - 1};
    if (!is_point(tile)) {
        return Box{{low.t, high.t}, {low.h, high.h}, {low.w, high.w}};
    }
//% else
    const GridPoint low = {0, 0, 0};
    const GridPoint high = {0, p.grid_h - 1, p.grid_w - 1};
//% endif
    return hull_of_run(first, last, low, high);
}
//# part cells_of_run
// Places in their frames of tokens that lie all inside the grid or all outside it. Inside one row,
// or over rows as wide as the grid, they follow one another as positions do.
DEVICE Interval cells_of_run(const Params& p, Span tokens) {
    const Box box = grid_box(p, tokens);
//% if plan.tiled
    const bool one_row = box.h.first == box.h.last || p.tile_w == p.grid_w;
    const bool follows = is_point(tile_box(p, tokens)) && box.t.first == box.t.last && one_row;
//% else
    const bool follows = box.t.first == box.t.last;
//% endif
    if (follows) {
        return Interval{cell_in_frame(p, tokens.first), cell_in_frame(p, tokens.last)};
    }
    return Interval{box.h.first * p.grid_w + box.w.first, box.h.last * p.grid_w + box.w.last};
}
//# part is_less
DEVICE u32 is_less(Interval a, Interval b) { return decided(a.last < b.first, a.first >= b.last); }
//# part is_at_most
DEVICE u32 is_at_most(Interval a, Interval b) {
    return decided(a.last <= b.first, a.first > b.last);
}
//# part is_equal
DEVICE u32 is_equal(Interval a, Interval b) {
    return decided(a.first >= b.last && a.last <= b.first, a.first > b.last || a.last < b.first);
}
//# part is_not_zero
DEVICE u32 is_not_zero(Interval a) {
    return decided(a.first > 0 || a.last < 0, a.first == 0 && a.last == 0);
}
//# part is_same_point
DEVICE u32 is_same_point(Box a, Box b) {
    return all_of(all_of(is_equal(a.t, b.t), is_equal(a.h, b.h)), is_equal(a.w, b.w));
}
//# part is_near_on_axis
// near_on_axis over intervals; monotone in both.
DEVICE u32 is_near_on_axis(Interval a, Interval b, Interval window, int tiles) {
    if (window.first != window.last) {
        return kMixed;
    }
    const Interval reach = exactly((int)window.first / 2);
    const Interval centre = most_of(reach, least_of(a, exactly(tiles - 1 - reach.first)));
    return is_at_most(distance(sum_of(centre, scaled(b, -1))), reach);
}
//# part is_near
DEVICE u32 is_near(const Params& p, Box a, Box b, Box window) {
    return all_of(all_of(is_near_on_axis(a.t, b.t, window.t, p.tiles_t),
                         is_near_on_axis(a.h, b.h, window.h, p.tiles_h)),
                  is_near_on_axis(a.w, b.w, window.w, p.tiles_w));
}
