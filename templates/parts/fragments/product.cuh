//# part Product
// Accumulators of one warp: kRowTiles tiles of 16 full rows.
struct Product {
    float c[kRowTiles][kTileN / 8][4];
};
