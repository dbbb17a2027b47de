//# part start_k_slice
// Starts C += A Bᵀ over the columns in a stage: the rows from `a_rows` on, and all columns of the
// tile or the first half of them.
DEVICE void start_k_slice(float* c, u32 stage, u32 a_rows, bool whole) {
    const u64 a = panel_descriptor(stage + a_rows, 0);
    const u64 b = panel_descriptor(stage + kBAt, 0);
    wgmma_fence();
    UNROLL for (int k = 0; k < kTileK / 16; ++k) {
        const int at = along_rows(k, 0);
//% if plan.half_columns
        if (!whole) {
            wgmma_shared_${ plan.half_columns }(c, a + at, b + at, true);
            continue;
        }
//% endif
        wgmma_shared_${ plan.tile_columns }(c, a + at, b + at, true);
    }
    wgmma_commit();
}
//# part hold_all
// Keeps the compiler from moving uses of accumulators over this place.
DEVICE void hold_all(float* c, bool whole) {
    UNROLL for (int i = 0; i < ${ plan.tile_columns } / (whole ? 2 : 4); ++i) {
        hold(c[i]);
    }
}
//# part slices_of
DEVICE int slices_of(int columns) { return (columns + kTileK - 1) / kTileK; }
//# part multiply_slices
// C += A Bᵀ over `slices` stages, at least one. A stage is released when the next one runs.
DEVICE void multiply_slices(float* c, u32& step, u32 memory, int slices, bool whole) {
    // The same in all lanes, which the compiler has to see.
    const u32 a_rows = __shfl_sync(0xffffffffu, warpgroup() * kGroupRows * 128, 0);
    const u32 end = step + slices;
    hold_all(c, whole);
    wait_full(memory + kFullAt, kStages, step);
    start_k_slice(c, stage_of(memory, step), a_rows, whole);
    #pragma unroll 1
    for (++step; step != end; ++step) {
        wait_full(memory + kFullAt, kStages, step);
        start_k_slice(c, stage_of(memory, step), a_rows, whole);
        wgmma_wait_but_1();
        release(memory + kFreeAt, kStages, step - 1);
    }
    wgmma_wait();
    hold_all(c, whole);
    release(memory + kFreeAt, kStages, step - 1);
}
//# part skip_slices
// The same steps of a warp without rows to compute.
DEVICE void skip_slices(u32& step, u32 memory, int slices) {
    #pragma unroll 1
    for (const u32 end = step + slices; step != end; ++step) {
        wait_full(memory + kFullAt, kStages, step);
        release(memory + kFreeAt, kStages, step);
    }
}
