//# part passes_of
// The rows of a piece of the tile as Operands counts them.
static __device__ __forceinline__ u32 passes_of(int piece) {
    return ((1u << kPieceRows / kRowsPerPass) - 1) << piece * (kPieceRows / kRowsPerPass);
}
//# part OutputTile
// The rows and columns of the product that this CTA computes. Tiles start at multiples of kTileQ in
// the joint sequence, wherever the stream starts, so blocks meet them as they meet attention's.
struct OutputTile {
    int b;              // batch item
    int first_token;    // of the joint sequence
    int column;         // which of the tiles along the columns
};
//# part tile_at
// Tile `at` of the product. CTAs that run together share rows of both operands: columns are walked
// inside groups of row tiles.
static __device__ __forceinline__ OutputTile tile_at(const Params& p, int at) {
    OutputTile tile;
    tile.b = at / (p.row_tiles * p.column_tiles);
    at %= p.row_tiles * p.column_tiles;
    const int first_row = at / (kGroupTiles * p.column_tiles) * kGroupTiles;
    const int rows = min(kGroupTiles, p.row_tiles - first_row);
    at -= first_row * p.column_tiles;
    tile.column = at / rows;
    tile.first_token = (p.first_row_tile + first_row + at % rows) * kTileQ;
    return tile;
}
//# part is_inside
// Whether a row of the tile belongs to the stream.
static __device__ __forceinline__ bool is_inside(const Params& p, const OutputTile& tile, int row) {
    return (u32)(tile.first_token + row - p.first_token) < p.rows;
}
//# part holds_rows
// Whether any row from `row` up to `row + rows` does.
static __device__ __forceinline__ bool holds_rows(const Params& p, const OutputTile& tile, int row,
                                                  int rows) {
    const int token = tile.first_token + row;
    return token + rows > p.first_token && token < p.first_token + p.rows;
}
//# part block_of_piece
// The block of a piece, which is kPieceRows rows of the tile, as a row of S_c.
static __device__ __forceinline__ int block_of_piece(const Params& p, const OutputTile& tile,
                                                     int piece) {
    return tile.b * p.q_blocks + (tile.first_token + piece * kPieceRows) / kBlockQ;
}
//# part Operands
// What this thread copies of A and B, where C = A Bᵀ: sixteen bytes of every kRowsPerPass-th row.
struct Operands {
    const u16* a;    // its first row of the tile, which may lie before the stream: never read then
    const u16* b;    // the same of the rows of B that are the tile's columns
    int columns;     // of a row of A and of B
    u32 a_rows;      // bit n: row n of those in A is copied; otherwise it becomes zeros
//% if plan.room == "gemm_o"
    u32 b_rows;      // the same of B, which may end inside the tile
//% endif
    u32 to;          // where in a stage
};
//# part operands_from
// Operands whose first rows are `a` and `b`.
static __device__ __forceinline__ Operands operands_from(const Params& p, const OutputTile& tile,
                                                         const u16* a, const u16* b,
//% if plan.room == "gemm_o"
                                                         int columns, int b_rows) {
//% else
                                                         int columns) {
//% endif
    const int row = threadIdx.x / kGroupChunks;
    const int chunk = threadIdx.x % kGroupChunks;
    Operands operands;
    operands.a = a + row * columns + chunk * 8;
    operands.b = b + row * columns + chunk * 8;
    operands.columns = columns;
    operands.a_rows = 0;
    #pragma unroll
    for (int n = 0; n < kTileQ / kRowsPerPass; ++n) {
        operands.a_rows |= is_inside(p, tile, row + n * kRowsPerPass) ? 1 << n : 0;
    }
//% if plan.room == "gemm_o"
    operands.b_rows = 0;
    #pragma unroll
    for (int n = 0; n < kTileN / kRowsPerPass; ++n) {
        operands.b_rows |= row + n * kRowsPerPass < b_rows ? 1 << n : 0;
    }
//% endif
    operands.to = row * kRowBytes + swizzled(row, chunk);
    return operands;
}
//# part copy_rows
// Starts copying this thread's part of `rows` rows; those without a bit in `which` become zeros.
static __device__ __forceinline__ void copy_rows(u32 to, const u16* from, int columns, int rows,
                                                 u32 which) {
    int at = 0;
    #pragma unroll
    for (int n = 0; n < rows / kRowsPerPass; ++n) {
        cp_async_16(to + n * kRowsPerPass * kRowBytes, from + at, which >> n & 1 ? 16 : 0);
        at += kRowsPerPass * columns;
    }
}
//# part load_slice
//% if plan.room == "gemm_q"
// Starts copying kTileK columns of A and B from `column` on; past the end of a row there are zeros.
static __device__ __forceinline__ void load_slice(u32 stage, const Operands& of, int column) {
    const bool inside = column + threadIdx.x % kGroupChunks * 8 < of.columns;
    copy_rows(stage + of.to, of.a + column, of.columns, kTileQ, inside ? of.a_rows : 0);
    copy_rows(stage + kTileQ * kRowBytes + of.to, of.b + column, of.columns, kTileN,
              inside ? 0xffffffffu : 0);
}
//% else
// Starts copying kTileK columns of A and B from `column` on${ "; of A only `rows`" if plan.projection.sparse }.
//% if plan.projection.sparse
static __device__ __forceinline__ void load_slice(u32 stage, const Operands& of, int column,
                                                  u32 rows) {
//% else
static __device__ __forceinline__ void load_slice(u32 stage, const Operands& of, int column) {
//% endif
    copy_rows(stage + of.to, of.a + column, of.columns, kTileQ, of.a_rows${ " & rows" if plan.projection.sparse });
    copy_rows(stage + kTileQ * kRowBytes + of.to, of.b + column, of.columns, kTileN, of.b_rows);
}
//% endif
//# part Product
// Accumulators of one warp: kRowTiles tiles of 16 full rows.
struct Product {
    float c[kRowTiles][kTileN / 8][4];
};
//# part clear_product
static __device__ __forceinline__ void clear_product(Product& product) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int n = 0; n < kTileN / 8; ++n) {
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
                product.c[m][n][e] = 0.0f;
            }
        }
    }
}
//# part lane_of_operands
// Where a thread reads the operands in a stage: A from the rows of its warp, B behind A.
static __device__ __forceinline__ Lane lane_of_operands() {
    Lane lane = lane_of_thread();
    lane.by_rows += warp_row() * kRowBytes;
    lane.by_columns += kTileQ * kRowBytes;
    return lane;
}
//# part multiply_slice
// C += A Bᵀ over the kTileK columns in a stage.
static __device__ __forceinline__ void multiply_slice(Product& product, u32 stage,
                                                      const Lane& lane) {
    #pragma unroll
    for (int k = 0; k < kTileK / 16; ++k) {
        u32 a[kRowTiles][4];
        #pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
            ldmatrix_x4(a[m], operand_step(stage + lane.by_rows, k) + m * 16 * kRowBytes);
        }
        #pragma unroll
        for (int n = 0; n < kTileN / 16; ++n) {
            u32 b[4];
            ldmatrix_x4(b, operand_step(stage + lane.by_columns, k) + n * 16 * kRowBytes);
            #pragma unroll
            for (int m = 0; m < kRowTiles; ++m) {
                mma_16816(product.c[m][2 * n], a[m], b[0], b[1]);
                mma_16816(product.c[m][2 * n + 1], a[m], b[2], b[3]);
            }
        }
    }
}
//# part stage_after
static __device__ __forceinline__ u32 stage_after(u32 stage, u32 first_stage) {
    return stage == first_stage + (kStages - 1) * kStageBytes ? first_stage : stage + kStageBytes;
}
//# part multiply_all
// C = A Bᵀ over all columns. A warp without rows to compute still copies for the others.
static __device__ __forceinline__ void multiply_all(Product& product, const Operands& operands,
                                                    u32 first_stage, bool computes) {
    const Lane lane = lane_of_operands();
    clear_product(product);
    #pragma unroll
    for (int ahead = 0; ahead < kStages - 1; ++ahead) {
        if (ahead * kTileK < operands.columns) {
            load_slice(first_stage + ahead * kStageBytes, operands, ahead * kTileK);
        }
        cp_async_commit();
    }
    u32 stage = first_stage;
    u32 empty = first_stage + (kStages - 1) * kStageBytes;
    #pragma unroll 1
    for (int column = 0; column < operands.columns; column += kTileK) {
        // This slice has come, and nobody reads the one before it any more.
        ${ "cp_async_wait_all_but_1" if plan.stages == 3 else "cp_async_wait_all" }();
        __syncthreads();
        const int next = column + (kStages - 1) * kTileK;
        if (next < operands.columns) {
            load_slice(empty, operands, next);
        }
        cp_async_commit();
        if (computes) {
            multiply_slice(product, stage, lane);
        }
        empty = stage;
        stage = stage_after(stage, first_stage);
    }
    __syncthreads();
}
//# part out_offset
// Byte offset of 16-byte chunk `chunk` of row `row` on its way out: as operands are swizzled, for
// rows of whole 128 bytes.
static __device__ __forceinline__ int out_offset(int row, int chunk) {
    return row * kOutBytes + (chunk ^ (row & 7)) * 16;
}
//# part put_rounded
// The warp's rows of the product, rounded, to shared memory: they leave it in 16-byte stores.
static __device__ __forceinline__ void put_rounded(u32 to, const Product& product) {
    const int column = fragment_column();
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int row = fragment_row() + m * 16 + r * 8;
            #pragma unroll
            for (int n = 0; n < kTileN / 8; ++n) {
                const float* c = product.c[m][n];
                store_shared(to + out_offset(row, n) + column * 2,
                             pack_pair(c[2 * r], c[2 * r + 1]));
            }
        }
    }
    __syncwarp();
}
