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
//# part kRowTiles
constexpr int kRowTiles = ${ plan.row_tiles };    // tiles of 16 query rows that a warp owns
//# part kThreads
constexpr int kThreads = ${ plan.threads };
//# part kRowBytes
constexpr int kRowBytes = kHeadDim * 2;
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
static_assert(kRowsPerPass % 8 == 0 && kTileQ % kRowsPerPass == 0 && kTileKv % kRowsPerPass == 0,
              "every pass of a load covers whole swizzle periods and whole tiles");
//# part kNegativeInfinity
constexpr float kNegativeInfinity = __builtin_bit_cast(float, 0xff800000u);
//# part kLog2E
constexpr float kLog2E = 1.4426950f;
//# part kLn2
constexpr float kLn2 = 0.69314718f;
