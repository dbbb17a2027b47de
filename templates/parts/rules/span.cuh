//# part Span
// The positions from `first` to `last`, both included.
struct Span {
    int first, last;
};
//# part block_span
// Tokens of a block in a sequence of `n` tokens; none if the block lies past its end.
DEVICE Span block_span(int block, int size, int n) {
    const int first = block * size;
    return Span{first, first + min(size, n - first) - 1};
}
//# part tokens_of
// Number of tokens of a block.
DEVICE int tokens_of(Span block) { return block.last + 1 - block.first; }
//# part touches
// Whether a block has tokens in the range from `first` up to, but without, `end`.
DEVICE bool touches(Span block, int first, int end) {
    return first < end && block.first < end && block.last >= first;
}
//# part take_frame
// Takes the next stretch of tokens of one frame off the front of a span. Those outside the grid are
// one more frame.
DEVICE Span take_frame(const Params& p, Span& rest) {
    Span next = {rest.first, rest.first};
    const int frame = grid_point(p, rest.first).t;
    while (next.last < rest.last && grid_point(p, next.last + 1).t == frame) {
        ++next.last;
    }
    rest.first = next.last + 1;
    return next;
}
