//# part HeadWalk
// A walk over the heads that some piece of the tile sums, in ascending order, kTileK columns of one
// at a time.
struct HeadWalk {
    int word;               // the present word of the rows of S_c
    u32 bits[kPieces];      // of that word: the heads that each piece sums
    u32 heads;              // of that word, still to be visited
    u32 rows;               // which rows sum the present head, as Operands counts them
    int column;             // where the present slice starts in a row of O; -1 after the last one
//% if plan.summed == "both"
    u32 flip;               // all ones where cached heads are summed, else 0
//% endif
};
//# part read_heads
// The heads of word `walk.word` that each piece of the tile sums.
static __device__ __forceinline__ void read_heads(HeadWalk& walk, const Params& p,
                                                  const OutputTile& tile) {
    walk.heads = 0;
    #pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
        walk.bits[piece] = 0;
        if (holds_rows(p, tile, piece * kPieceRows, kPieceRows)) {
            const i64 row = (i64)block_of_piece(p, tile, piece) * words_of(p.heads);
            walk.bits[piece] = ${ "~" if plan.summed == "cached" }p.s_c[row + walk.word]${ " ^ walk.flip" if plan.summed == "both" };
        }
//% if plan.summed != "active"
        // A row ends inside its last word.
        const int heads = p.heads - walk.word * 32;
        walk.bits[piece] &= heads < 32 ? (1u << heads) - 1 : 0xffffffffu;
//% endif
        walk.heads |= walk.bits[piece];
    }
}
//# part next_head
static __device__ __forceinline__ void next_head(HeadWalk& walk, const Params& p,
                                                 const OutputTile& tile) {
    while (walk.heads == 0) {
        ++walk.word;
        if (walk.word * 32 >= p.heads) {
            walk.column = -1;
            return;
        }
        read_heads(walk, p, tile);
    }
    const int bit = __ffs(walk.heads) - 1;
    walk.heads &= walk.heads - 1;
    walk.column = (walk.word * 32 + bit) * kHeadDim;
    walk.rows = 0;
    #pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
        walk.rows |= walk.bits[piece] >> bit & 1 ? passes_of(piece) : 0;
    }
}
//# part next_slice
static __device__ __forceinline__ void next_slice(HeadWalk& walk, const Params& p,
                                                  const OutputTile& tile) {
    walk.column += kTileK;
    if (walk.column % kHeadDim == 0) {
        next_head(walk, p, tile);
    }
}
//# part first_slice
//% if plan.summed == "both"
static __device__ __forceinline__ HeadWalk first_slice(const Params& p, const OutputTile& tile,
                                                       u32 flip) {
//% else
static __device__ __forceinline__ HeadWalk first_slice(const Params& p, const OutputTile& tile) {
//% endif
    HeadWalk walk;
    walk.word = -1;
    walk.heads = 0;
//% if plan.summed == "both"
    walk.flip = flip;
//% endif
    next_head(walk, p, tile);
    return walk;
}
