//# part passes_of
// Rows of subtiles as Operands counts them.
DEVICE u32 passes_of(u32 subtiles) {
    const int each = kSubtileRows / kRowsPerPass;
    u32 passes = 0;
    UNROLL for (int n = 0; n < kSubtiles; ++n) {
        passes |= subtiles >> n & 1 ? ((1u << each) - 1) << n * each : 0;
    }
    return passes;
}
//# part Operands
// What this thread copies of A and B, where C = A Bᵀ: sixteen bytes of every kRowsPerPass-th row.
struct Operands {
    const u16* a;    // its first row of the tile, which may lie before the stream: never read then
    const u16* b;    // the same of the rows of B that are the tile's columns
    int columns;     // of a row of A and of B
    u32 a_rows;      // bit n: row n of those in A is copied; otherwise it becomes zeros
//% if plan.cut == "columns"
    u32 b_rows;      // the same of B, which may end inside the tile
//% endif
    u32 to;          // where in a stage
};
//# part operands_from
// Operands whose first rows are `a` and `b`.
DEVICE Operands operands_from(const Params& p, const OutputTile& tile,
                              const u16* a, const u16* b,
//% if plan.cut == "columns"
                              int columns, int b_rows) {
//% else
                                                         int columns) {
//% endif
    const int row = threadIdx.x / kPanelChunks;
    const int chunk = threadIdx.x % kPanelChunks;
    Operands operands;
    operands.a = a + row * columns + chunk * 8;
    operands.b = b + row * columns + chunk * 8;
    operands.columns = columns;
    operands.a_rows = 0;
    UNROLL for (int n = 0; n < kTileQ / kRowsPerPass; ++n) {
        operands.a_rows |= is_inside(p, tile, row + n * kRowsPerPass) ? 1 << n : 0;
    }
//% if plan.cut == "columns"
    operands.b_rows = 0;
    UNROLL for (int n = 0; n < kTileN / kRowsPerPass; ++n) {
        operands.b_rows |= row + n * kRowsPerPass < b_rows ? 1 << n : 0;
    }
//% endif
    operands.to = in_panel(row, chunk);
    return operands;
}
//# part copy_rows
// Starts copying this thread's part of `rows` rows; those without a bit in `which` become zeros.
DEVICE void copy_rows(u32 to, const u16* from, int columns, int rows, u32 which) {
    static_assert(kTileQ % kRowsPerPass == 0 && kTileN % kRowsPerPass == 0, "whole tiles");
    int at = 0;
    UNROLL for (int n = 0; n < rows / kRowsPerPass; ++n) {
        cp_async_16(to + n * kRowsPerPass * kPanelRow, from + at, which >> n & 1 ? 16 : 0);
        at += kRowsPerPass * columns;
    }
}
//# part load_k_slice
//% if plan.cut == "depth"
// Starts copying kTileK columns of A and B from `column` on; past the end of a row there are zeros.
DEVICE void load_k_slice(u32 stage, const Operands& of, int column) {
    const bool inside = column + threadIdx.x % kPanelChunks * 8 < of.columns;
    copy_rows(stage + of.to, of.a + column, of.columns, kTileQ, inside ? of.a_rows : 0);
    copy_rows(stage + kBAt + of.to, of.b + column, of.columns, kTileN, inside ? 0xffffffffu : 0);
}
//% else
// Starts copying kTileK columns of A and B from `column` on${ "; of A only `rows`" if plan.sparse }.
//% if plan.sparse
DEVICE void load_k_slice(u32 stage, const Operands& of, int column, u32 rows) {
//% else
DEVICE void load_k_slice(u32 stage, const Operands& of, int column) {
//% endif
    copy_rows(stage + of.to, of.a + column, of.columns, kTileQ, of.a_rows${ " & rows" if plan.sparse });
    copy_rows(stage + kBAt + of.to, of.b + column, of.columns, kTileN, of.b_rows);
}
//% endif
