//# part Lane
// Where a thread reads operands. Stepping 16 columns inside a panel flips address bits from 5 on:
// one offset serves every step, and step k of an operand lies at (panel + offset) ^ k * 32.
struct Lane {
    u32 by_rows;       // ldmatrix offset of an A operand, or of a transposed B operand
    u32 by_columns;    // ldmatrix offset of a B operand that is stored column by column
};
//# part lane_of_thread
DEVICE Lane lane_of_thread() {
    const int thread = threadIdx.x % 32;
    Lane lane;
    lane.by_rows = in_panel(thread % 16, thread / 16);
    lane.by_columns = in_panel(thread % 8 + thread / 16 * 8, thread / 8 % 2);
    return lane;
}
//# part operand_step
// Address of 16-column step `k` of the operand whose step 0 is at `operand`, in a tile whose panels
// have `rows` rows.
DEVICE u32 operand_step(u32 operand, int k, int rows) {
    constexpr int kSteps = kPanelChunks / 2;
    return (operand ^ k % kSteps * 32) + k / kSteps * (rows * kPanelRow);
}
