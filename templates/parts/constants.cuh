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
//# part kSubtileRows
constexpr int kSubtileRows = ${ plan.subtile_rows };    // rows of a tile that one bit of S_c decides
//# part kSubtiles
constexpr int kSubtiles = kTileQ / kSubtileRows;
//# part kRowTiles
constexpr int kRowTiles = ${ plan.row_tiles };    // tiles of 16 rows that a warp owns
//# part kRows
constexpr int kRows = kRowTiles * 2;    // rows of which a thread holds elements, eight apart
//# part kLogits
constexpr int kLogits = kRows * kTileKv / 4;    // elements of S that a thread holds
//# part kThreads
constexpr int kThreads = ${ plan.threads };
//# part kQkSteps
constexpr int kQkSteps = kHeadDim / 16;    // 16-column steps of S = Q Kᵀ
//# part kExponentials
constexpr int kExponentials = kRowTiles * kTileKv / 8;    // 8-column tiles of P
//# part kCtaRows
constexpr int kCtaRows = kThreads / 32;    // query blocks of a CTA, a warp each
//# part kSlices
constexpr int kSlices = (kHeadDim + 127) / 128;    // of 128 columns, four to a lane
//# part kPoolThreads
constexpr int kPoolThreads = 128;
//# part kRowLanes
constexpr int kRowLanes = ${ plan.row_lanes };    // threads that read a row, eight columns each
//# part kRowsAtOnce
constexpr int kRowsAtOnce = kPoolThreads / kRowLanes;
//# part kRowChunks
constexpr int kRowChunks = kHeadDim / 8;
//# part kPanelChunks
constexpr int kPanelChunks = ${ plan.group_chunks };    // 16-byte chunks of a row of a panel
//# part kPanelRow
constexpr int kPanelRow = kPanelChunks * 16;    // bytes of such a row
//# part kPanels
constexpr int kPanels = kHeadDim / 8 / kPanelChunks;
//# part kOutPanels
constexpr int kOutPanels = kPanels / ${ plan.out_parts };    // that are on their way out at once
//# part kRowsPerPass
constexpr int kRowsPerPass = kThreads / kPanelChunks;
static_assert(kRowsPerPass % 8 == 0, "every pass of a load covers whole swizzle periods");
//# part kTileHeads
constexpr int kTileHeads = ${ plan.tile_heads };    // heads whose columns a tile has
//# part kMostProjections
constexpr int kMostProjections = ${ plan.together };    // of a launch
//# part kGroupTiles
constexpr int kGroupTiles = ${ plan.group_tiles };    // row tiles whose operands are meant to stay in L2 together
//# part kOutChunks
constexpr int kOutChunks = (kTileN + 63) / 64 * 8;    // of a row of the product on its way out
//# part kHeadroom
constexpr float kHeadroom = ${ "5.5451774f" if plan.score else "8.0f" };    // powers of ${ "e" if plan.score else "2" } by which P may exceed ${ "its due" if plan.dtype == "bf16" else "1" }
//# part kReserve
//% set e = "e" if plan.score else "2"
//% if plan.sets_max
// Powers of ${ e } by which P lies below 1 where S is largest, when m is set; O and l with it. As many
// lie between that and kMostSum: so much S may grow before m is raised.
constexpr float kReserve = ${ "44.361420f" if plan.score else "64.0f" };
//% else
// Powers of ${ e } by which P lies below 1, and O and l with it: so a sum of many of the
// largest values is finite before it is divided by l.
constexpr float kReserve = ${ "16.635532f" if plan.score else "24.0f" };
//% endif
//# part kMostSum
// What a sum of P over a thread's columns of one kv tile stays below: l is then less than 1 for any
// number of kv tiles, so O is finite before it is divided by l, however large V is.
constexpr float kMostSum = 5.9604645e-8f;    // 2^-24
//# part kFirstColumns
constexpr int kFirstColumns = 32;    // of a tile's first step, whose largest S sets m
//# part kConsumerWarps
constexpr int kConsumerWarps = kTileQ / 16;    // that multiply, sixteen rows each
//# part kProducerRegisters
constexpr int kProducerRegisters = ${ plan.roles.producer };    // of a thread, also of the scheduler's
//# part kConsumerRegisters
constexpr int kConsumerRegisters = ${ plan.roles.consumer };
//# part kLeast
// Where the running maximum starts. Not -∞, so that no ∞ - ∞ arises in rows without a pair.
constexpr float kLeast = -3.4028235e38f;
//# part kLog2E
constexpr float kLog2E = 1.4426950f;
//# part kLn2
constexpr float kLn2 = 0.69314718f;
