//# What lies where in dynamic shared memory, in bytes: the map in the header, as constants.
//# A stage of operands starts with A.
//# part kStages
constexpr int kStages = ${ plan.stages };
//# part kStageBytes
constexpr int kStageBytes = ${ plan.shared.stage_bytes };    // from one stage to the next
//# part kKAt
constexpr int kKAt = ${ plan.shared.regions.k.at };
//# part kVAt
constexpr int kVAt = ${ plan.shared.regions.v.at };
//# part kQAt
constexpr int kQAt = ${ plan.shared.regions.q.at };
//# part kOAt
constexpr int kOAt = ${ plan.shared.regions.o.at };
//# part kKvHeadAt
constexpr int kKvHeadAt = ${ plan.shared.regions.kv_head.at };
//# part kBAt
constexpr int kBAt = ${ plan.shared.regions.b.at };    // of B in a stage, whose start is A
//# part kOutAt
constexpr int kOutAt = ${ plan.shared.regions.out.at };
//# part kBarriersAt
constexpr int kBarriersAt = ${ plan.shared.regions.barriers.at };
//# part kSlotsAt
constexpr int kSlotsAt = ${ plan.shared.regions.slots.at };
//# part kNotesAt
constexpr int kNotesAt = ${ plan.shared.regions.notes.at };
//# part kSumsAt
constexpr int kSumsAt = ${ plan.shared.regions.sums.at };
//# part kSumsBytes
constexpr int kSumsBytes = ${ plan.shared.regions.sums.bytes } / 2;    // of a tile
//# part kHeadSums
constexpr int kHeadSums = kSumsBytes / kTileHeads;    // of a head of it
//# part kTilesAt
constexpr int kTilesAt = ${ plan.shared.regions.tiles.at };    // tiles that are handed on
//# part kTileFullAt
constexpr int kTileFullAt = ${ plan.shared.regions.tile_full.at };
//# part kTileFreeAt
constexpr int kTileFreeAt = ${ plan.shared.regions.tile_free.at };
//# part kFullAt
constexpr int kFullAt = ${ plan.shared.regions.full.at };    // mbarriers: a stage has come
//# part kFreeAt
constexpr int kFreeAt = ${ plan.shared.regions.free.at };    // nobody reads it any more
//# part kListAt
constexpr int kListAt = 4;    // where in the words of p.tiles the list starts
//# part kZerosAt
constexpr int kZerosAt = ${ plan.shared.regions.zeros.at };    // sixteen rows of a panel
