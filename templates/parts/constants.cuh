//# part kHeadDim
constexpr int kHeadDim = ${ plan.head_dim };
//# part kBlockQ
constexpr int kBlockQ = ${ plan.block_q };
//# part kBlockKv
constexpr int kBlockKv = ${ plan.block_kv };
//# part kTileQ
constexpr int kTileQ = ${ plan.tile_q };
//# part kTileKv
constexpr int kTileKv = ${ plan.tile_kv };
//# part kTileN
constexpr int kTileN = ${ plan.tile_n };
//# part kTileK
constexpr int kTileK = ${ plan.tile_k };    // columns of a slice
//# part kPieceRows
constexpr int kPieceRows = ${ plan.subtile_rows };    // rows of a tile that one bit of S_c decides
//# part kPieces
constexpr int kPieces = kTileQ / kPieceRows;
//# part kRowTiles
constexpr int kRowTiles = ${ plan.row_tiles };    // tiles of 16 rows that a warp owns
//# part kThreads
constexpr int kThreads = ${ plan.threads };
//# part kQkSteps
constexpr int kQkSteps = kHeadDim / 16;    // 16-column steps of S = Q Kᵀ
//# part kWeighings
constexpr int kWeighings = kRowTiles * kTileKv / 8;    // 8-column pieces of P
//# part kRowBytes
constexpr int kRowBytes = ${ plan.row_bytes };    // of a row of an operand in shared memory
//# part kPoolThreads
constexpr int kPoolThreads = 128;
//# part kRowLanes
constexpr int kRowLanes = ${ plan.row_lanes };    // threads that read a row, eight columns each
//# part kRowsAtOnce
constexpr int kRowsAtOnce = kPoolThreads / kRowLanes;
//# part kRowChunks
constexpr int kRowChunks = kHeadDim / 8;
//# part kGroupChunks
constexpr int kGroupChunks = ${ plan.group_chunks };    // 16-byte chunks that the swizzle permutes
//# part kGroupBytes
constexpr int kGroupBytes = kGroupChunks * 16;
//# part kGroups
constexpr int kGroups = kRowBytes / kGroupBytes;
//# part kGroupSteps
constexpr int kGroupSteps = kGroupChunks / 2;    // 16-column MMA steps of a group
//# part kRowsPerPass
constexpr int kRowsPerPass = kThreads / kGroupChunks;
static_assert(kRowsPerPass % 8 == 0, "every pass of a load covers whole swizzle periods");
//# part kGroupTiles
constexpr int kGroupTiles = 16;    // row tiles whose operands are meant to stay in L2 together
//# part kOutBytes
constexpr int kOutBytes = ${ plan.out_row_bytes };    // of a row of the product on its way out
//# part kOutChunks
constexpr int kOutChunks = kOutBytes / 16;
//# part kHeadroom
constexpr float kHeadroom = ${ "5.5451774f" if plan.score else "8.0f" };    // powers of ${ "e" if plan.score else "2" } by which P may exceed ${ "its due" if plan.dtype == "bf16" else "1" }
//# part kReserve
// Powers of ${ "e" if plan.score else "2" } by which P lies below 1, and O and l with it: so a sum of many of the
// largest values is finite before it is divided by l.
constexpr float kReserve = ${ "16.635532f" if plan.score else "24.0f" };
//# part kLeast
// Where the running maximum starts. Not -∞, so that no ∞ - ∞ arises in rows without a pair.
constexpr float kLeast = -3.4028235e38f;
//# part kLog2E
constexpr float kLog2E = 1.4426950f;
//# part kLn2
constexpr float kLn2 = 0.69314718f;
