//# Tiles of panels as operands of wgmma, and as boxes of bulk copies.
//# part panel_descriptor
// Where wgmma finds a tile of panels, whose rows are swizzled as in_panel says. Panels lie
// `panel_stride` bytes apart, which counts only where rows lie along n.
DEVICE u64 panel_descriptor(u32 address, int panel_stride) {
    const u64 swizzle = ${ "1" if plan.group_chunks == 8 else "2" };    // of ${ plan.group_chunks * 16 } bytes
    return (address & 0x3ffff) >> 4 | (u64)(panel_stride >> 4) << 16 | (u64)(kPanelRow >> 1) << 32 |
           swizzle << 62;
}
//# part along_rows
// How far 16-column step `k` lies from the start of a tile with `rows` rows, as descriptors count.
DEVICE int along_rows(int k, int rows) {
    constexpr int kSteps = kPanelChunks / 2;
    return (k / kSteps * rows * kPanelRow + k % kSteps * 32) / 16;
}
//# part copy_panels
// Starts copying a tile of `rows` tokens of a head into panels; `barrier` hears of its bytes.
DEVICE void copy_panels(u32 to, const TensorMap* map, u32 barrier, int rows, int head, int token,
                        int b) {
    mbarrier_expect(barrier, rows * kHeadDim * 2);
    UNROLL for (int g = 0; g < kPanels; ++g) {
        tma_load(to + g * rows * kPanelRow, map, barrier, g * kPanelChunks * 8, head, token, b);
    }
}
//# part store_panels
// Starts copying rows of panels with `rows` rows each back, kOutPanels of them; the box says how
// many rows.
DEVICE void store_panels(const TensorMap* map, u32 from, int rows, int first, int head, int token,
                         int b) {
    UNROLL for (int g = 0; g < kOutPanels; ++g) {
        tma_store(map, from + g * rows * kPanelRow, (first + g) * kPanelChunks * 8, head, token, b);
    }
    bulk_commit();
}
