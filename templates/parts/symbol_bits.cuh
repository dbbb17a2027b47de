//# part is_computed
// One bit of a row of `bits` bits; rows start on 64-bit words.
static __device__ __forceinline__ bool is_computed(const u64* symbol, i64 row, int bits, int bit) {
    return symbol[row * ((bits + 63) / 64) + bit / 64] >> (bit % 64) & 1;
}
//# part Walk
// A walk over the kv tiles that one row of S_s computes, in ascending order.
struct Walk {
    const u64* row;    // words of S_s from the present one on
//% if plan.mask
    const u64* full;   // the same words of S_f
//% endif
    u64 word;          // blocks of the present word that are still to be visited
    int first_block;   // block of the word's bit 0
    int block;         // present block
    int kv;            // first token of the present tile; -1 at the end
//% if plan.mask
    bool partial;      // the present block needs the element test
//% endif
};
//# part next_computed_block
static __device__ __forceinline__ void next_computed_block(Walk& walk, const Params& p,
                                                           const Tile& tile) {
    while (walk.word == 0) {
        walk.first_block += 64;
        if (walk.first_block >= p.kv_blocks) {
            walk.kv = -1;
            return;
        }
        walk.word = *++walk.row;
//% if plan.mask
        ++walk.full;
//% endif
    }
    const int bit = __ffsll(walk.word) - 1;
    walk.word &= walk.word - 1;
    walk.block = walk.first_block + bit;
    walk.kv = walk.block * kBlockKv;
//% if plan.mask
    walk.partial = !(*walk.full >> bit & 1);
//% endif
    if (walk.kv >= tile.n_kv) {
        walk.kv = -1;
    }
}
//# part next_kv_tile
static __device__ __forceinline__ void next_kv_tile(Walk& walk, const Params& p, const Tile& tile) {
//% if plan.block_kv > plan.tile_kv
    const int kv = walk.kv + kTileKv;
    if (kv < (walk.block + 1) * kBlockKv && kv < tile.n_kv) {
        walk.kv = kv;
        return;
    }
//% endif
    next_computed_block(walk, p, tile);
}
//# part first_kv_tile
static __device__ __forceinline__ Walk first_kv_tile(const Params& p, const Tile& tile) {
    const i64 row = ((i64)tile.b * p.heads + tile.h) * p.q_blocks + tile.i;
    const i64 word = row * ((p.kv_blocks + 63) / 64);
    Walk walk;
    walk.row = p.s_s + word;
//% if plan.mask
    walk.full = p.s_f + word;
//% endif
    walk.word = p.kv_blocks > 0 ? *walk.row : 0;
    walk.first_block = 0;
    next_computed_block(walk, p, tile);
    return walk;
}
