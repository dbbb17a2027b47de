//# part Span
// The positions from `first` to `last`, both included.
struct Span {
    int first, last;
};
//# part block_span
// Tokens of a block in a sequence of `n` tokens; none if the block lies past its end.
static __device__ __forceinline__ Span block_span(int block, int size, int n) {
    return Span{block * size, min(block * size + size, n) - 1};
}
//# part touches
// Whether a block has tokens in the range from `first` up to, but without, `end`.
static __device__ __forceinline__ bool touches(Span block, int first, int end) {
    return first < end && block.first < end && block.last >= first;
}
