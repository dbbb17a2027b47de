//# part warp_row
// First query row, in the tile, of this warp.
DEVICE int warp_row() { return thread_x() / 32 * (kRowTiles * 16); }
//# part fragment_row
// Row, in a 16-row tile, of accumulator elements 0 and 1; elements 2 and 3 lie 8 rows below.
DEVICE int fragment_row() { return thread_x() % 32 / 4; }
//# part fragment_column
// Column, in a group of eight, of accumulator elements 0 and 2; elements 1 and 3 lie right of them.
DEVICE int fragment_column() { return thread_x() % 4 * 2; }
