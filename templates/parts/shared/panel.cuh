//# part in_panel
// Byte offset of 16-byte chunk `chunk` of row `row` of a panel: a shared tile is panels of ${ plan.group_chunks * 8 }
// columns, each with rows of ${ plan.group_chunks * 16 } bytes. Chunks are permuted so that the eight rows of one ldmatrix
// phase lie in eight different 16-byte columns of the banks; TMA's ${ plan.group_chunks * 16 }-byte swizzle is the same.
//% set phase = "row & 7" if plan.group_chunks == 8 else "row >> 1 & 3"
DEVICE int in_panel(int row, int chunk) {
    return (row * kPanelChunks + (chunk ^ (${ phase }))) * 16;
}
//# part in_tile
// Byte offset of chunk `chunk` of row `row` of a tile whose panels have `rows` rows.
DEVICE int in_tile(int row, int chunk, int rows) {
    return chunk / kPanelChunks * (rows * kPanelRow) + in_panel(row, chunk % kPanelChunks);
}
//# part out_offset
// Byte offset of chunk `chunk` of row `row` of the product on its way out: panels of 64 columns.
DEVICE int out_offset(int row, int chunk) {
    return chunk / 8 * (kTileQ * 128) + row * 128 + (chunk % 8 ^ (row & 7)) * 16;
}
