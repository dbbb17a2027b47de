//# part Cell
// The token pairs with q.pos, kv.pos and q.pos - kv.pos in three spans. No cut lies inside one.
struct Cell {
    Span q, kv, diff;
};
//# part differences
// q.pos - kv.pos over two spans.
DEVICE Span differences(Span q, Span kv) { return Span{q.first - kv.last, q.last - kv.first}; }
//# part end_before
// The last position before `cut`, if the cut lies inside the span.
DEVICE int end_before(int cut, Span span) {
    return cut > span.first && cut <= span.last ? cut - 1 : span.last;
}
//# part saturated
// The cut at a 64-bit place: past the ends of 32 bits no position reaches it, or all do.
DEVICE int saturated(i64 place) { return (int)max(-2147483648LL, min(place, 2147483647LL)); }
//# part ceil_div
// The least x with scale * x >= at.
DEVICE i64 ceil_div(i64 at, i64 scale) { return at / scale + (at % scale > 0); }
