//# part warpgroup
DEVICE int warpgroup() { return thread_x() / 128; }
//# part sync_warpgroup
// All threads of this warpgroup.
DEVICE void sync_warpgroup() { barrier_sync(1 + warpgroup(), 128); }
//# part wait_for_out
// Waits until the stores before have read what this warpgroup writes next.
DEVICE void wait_for_out() {
    if (thread_x() % 128 == 0) {
        bulk_wait_read();
    }
    sync_warpgroup();
}
//# part kGroupRows
constexpr int kGroupRows = 64;    // rows of a tile that a warpgroup multiplies
//# part kSlots
constexpr int kSlots = 2;    // tiles that are handed on ahead
//# part make_barriers
// One thread makes the barriers; everybody else must not touch them before.
DEVICE void make_barriers(u32 memory) {
    if (threadIdx.x == 0) {
        for (int n = 0; n < kStages; ++n) {
            mbarrier_init(memory + kFullAt + 8 * n, 1);
            mbarrier_init(memory + kFreeAt + 8 * n, kConsumerWarps);
        }
        for (int n = 0; n < kSlots; ++n) {
            mbarrier_init(memory + kTileFullAt + 8 * n, 1);
            mbarrier_init(memory + kTileFreeAt + 8 * n, kConsumerWarps);
        }
        mbarrier_init_fence();
    }
    __syncthreads();
}
//# part put_tile
// Hands the n-th tile of this CTA on, when the one kSlots before it has been worked out.
DEVICE void put_tile(u32 memory, u32 n, uint4 tile) {
    wait_free(memory + kTileFreeAt, kSlots, n);
    store_shared_16(memory + kTilesAt + 16 * (n % kSlots), tile);
    mbarrier_arrive(memory + kTileFullAt + 8 * (n % kSlots));
}
//# part tile_again
// What take_tile gave, which is there until the warp releases it: the loop has no registers for it.
DEVICE uint4 tile_again(u32 memory, u32 n) {
    return load_shared_16(memory + kTilesAt + 16 * (n % kSlots));
}
//# part take_tile
DEVICE uint4 take_tile(u32 memory, u32 n) {
    wait_full(memory + kTileFullAt, kSlots, n);
    return tile_again(memory, n);
}
//# part release_tile
// This warp needs nothing any more that belongs to the n-th tile.
DEVICE void release_tile(u32 memory, u32 n) { release(memory + kTileFreeAt, kSlots, n); }
//# part stage_of
DEVICE u32 stage_of(u32 memory, u32 step) { return memory + step % kStages * kStageBytes; }
