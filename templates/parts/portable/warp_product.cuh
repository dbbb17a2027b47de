//# part lane_of_operands
// Where a thread reads the operands in a stage: A from the rows of its warp, B behind A.
DEVICE Lane lane_of_operands() {
    Lane lane = lane_of_thread();
    lane.by_rows += warp_row() * kPanelRow;
    lane.by_columns += kBAt;
    return lane;
}
//# part multiply_k_slice
// C += A Bᵀ over the kTileK columns in a stage.
DEVICE void multiply_k_slice(Product& product, u32 stage, const Lane& lane) {
    UNROLL for (int k = 0; k < kTileK / 16; ++k) {
        u32 a[kRowTiles][4];
        UNROLL for (int m = 0; m < kRowTiles; ++m) {
            ldmatrix_x4(a[m], operand_step(stage + lane.by_rows, k, kTileQ) + m * 16 * kPanelRow);
        }
        UNROLL for (int n = 0; n < kTileN / 16; ++n) {
            u32 b[4];
            ldmatrix_x4(b, operand_step(stage + lane.by_columns, k, kTileN) + n * 16 * kPanelRow);
            UNROLL for (int m = 0; m < kRowTiles; ++m) {
                mma_16816(product.c[m][2 * n], a[m], b[0], b[1]);
                mma_16816(product.c[m][2 * n + 1], a[m], b[2], b[3]);
            }
        }
    }
}
//# part stage_after
DEVICE u32 stage_after(u32 stage, u32 first_stage) {
    return stage == first_stage + (kStages - 1) * kStageBytes ? first_stage : stage + kStageBytes;
}
//# part multiply_all
// C = A Bᵀ over all columns. A warp without rows to compute still copies for the others.
DEVICE void multiply_all(Product& product, const Operands& operands, u32 first_stage,
                         bool computes) {
    const Lane lane = lane_of_operands();
    product = {};
    UNROLL for (int ahead = 0; ahead < kStages - 1; ++ahead) {
        if (ahead * kTileK < operands.columns) {
            load_k_slice(first_stage + ahead * kStageBytes, operands, ahead * kTileK);
        }
        cp_async_commit();
    }
    u32 stage = first_stage;
    u32 empty = first_stage + (kStages - 1) * kStageBytes;
    #pragma unroll 1
    for (int column = 0; column < operands.columns; column += kTileK) {
        // This k-slice has come, and nobody reads the one before it any more.
        ${ "cp_async_wait_all_but_1" if plan.stages == 3 else "cp_async_wait_all" }();
        __syncthreads();
        const int next = column + (kStages - 1) * kTileK;
        if (next < operands.columns) {
            load_k_slice(empty, operands, next);
        }
        cp_async_commit();
        if (computes) {
            multiply_k_slice(product, stage, lane);
        }
        empty = stage;
        stage = stage_after(stage, first_stage);
    }
    __syncthreads();
}
