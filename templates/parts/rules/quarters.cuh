//# part Quarter
// A part of a cell, which is halved again and again, along q and kv in turn: the offsets of its
// first tokens and the number of cuts.
struct Quarter {
    int q, kv, depth;
};
//# part quarter_levels
// After so many cuts along each side parts are single tokens.
DEVICE int quarter_levels(const Cell& cell) {
    const int most = max(cell.q.last - cell.q.first, cell.kv.last - cell.kv.first);
    return 32 - __clz(most);
}
//# part part_of_span
DEVICE Span part_of_span(Span span, int offset, int size) {
    return Span{span.first + offset, min(span.last, span.first + offset + size - 1)};
}
//# part quarter_of
DEVICE Cell quarter_of(const Cell& cell, Quarter at, int levels) {
    const Span q = part_of_span(cell.q, at.q, 1 << (levels - (at.depth + 1) / 2));
    const Span kv = part_of_span(cell.kv, at.kv, 1 << (levels - at.depth / 2));
    const Span diff = differences(q, kv);
    return Cell{q, kv, {max(diff.first, cell.diff.first), min(diff.last, cell.diff.last)}};
}
//# part is_empty
DEVICE bool is_empty(const Cell& cell) {
    return cell.q.first > cell.q.last || cell.kv.first > cell.kv.last
        || cell.diff.first > cell.diff.last;
}
//# part goes_on
// Goes on to the part that follows; false after the last one.
DEVICE bool goes_on(Quarter& at, int levels) {
    while (at.depth > 0) {
        const int half = 1 << (levels - (at.depth + 1) / 2);
        const bool of_q = at.depth % 2 == 1;
        at.q ^= of_q ? half : 0;
        at.kv ^= of_q ? 0 : half;
        if ((of_q ? at.q : at.kv) & half) {
            return true;
        }
        --at.depth;
    }
    return false;
}
