// C = A Bᵀ, for sm_90a: one warpgroup loads, two multiply; a CTA takes one tile after the other.
//
// shape      bf16; M, N, K at run time; A [M, K], B [N, K], C [M, N]
// tile       m 128  n 128  k 64
// shared     0       ring of 4 stages: A, 16384 B, and B, 16384 B
//            131072  c, 32768 B
//            163840  mbarriers: full and empty of each stage

constexpr int kTile = 128;        // rows of A, and of B
constexpr int kTileK = 64;        // one panel: 128 bytes, the span of the swizzle
constexpr int kGroupRows = 64;    // rows of a warpgroup: those of one wgmma
constexpr int kGroups = 2;        // warpgroups that multiply
constexpr int kThreads = (1 + kGroups) * 128;
constexpr int kStages = 4;
constexpr int kPanelRow = kTileK * 2;
constexpr int kPanelBytes = kTile * kPanelRow;
constexpr int kStageBytes = 2 * kPanelBytes;
constexpr int kGroupPanel = kGroupRows * kPanelRow;    // half a panel of C
constexpr int kCAt = kStages * kStageBytes;
constexpr int kFullAt = kCAt + kTile * kTile * 2;
constexpr int kEmptyAt = kFullAt + 8 * kStages;

struct Params {
    int tiles_m, tiles_n;    // of C
    int steps;               // of k, at least 1
};

// One pass over a stage of the ring, counted over all tiles of the CTA.
struct Pass {
    u32 a, b, full, empty;
    u32 parity;    // of the phase of `full` in which the load arrives
};

DEVICE Pass pass_of(u32 shared, int load) {
    const int stage = load % kStages;
    Pass pass;
    pass.a = shared + stage * kStageBytes;
    pass.b = pass.a + kPanelBytes;
    pass.full = shared + kFullAt + 8 * stage;
    pass.empty = shared + kEmptyAt + 8 * stage;
    pass.parity = load / kStages & 1;
    return pass;
}

// One thread makes the barriers; everybody else must not touch them before.
DEVICE void make_barriers(u32 shared) {
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < kStages; ++stage) {
            mbarrier_init(shared + kFullAt + 8 * stage, 1);
            mbarrier_init(shared + kEmptyAt + 8 * stage, kGroups);
        }
        mbarrier_init_fence();
    }
    __syncthreads();
}

// ---- load --------------------------------------------------------------------------------------

DEVICE void produce(u32 shared, const TensorMap& a, const TensorMap& b, const Params& p) {
    int load = 0;
    #pragma unroll 1
    for (int tile = blockIdx.x; tile < p.tiles_m * p.tiles_n; tile += gridDim.x) {
        #pragma unroll 1
        for (int step = 0; step < p.steps; ++step, ++load) {
            const Pass pass = pass_of(shared, load);
            // A stage is free at first: the phase before the first one counts as over.
            mbarrier_wait(pass.empty, pass.parity ^ 1);
            mbarrier_expect(pass.full, kStageBytes);
            tma_load_2d(pass.a, a, pass.full, step * kTileK, tile % p.tiles_m * kTile);
            tma_load_2d(pass.b, b, pass.full, step * kTileK, tile / p.tiles_m * kTile);
        }
    }
}

// ---- compute -----------------------------------------------------------------------------------

// Where wgmma finds rows of 128 bytes, swizzled; eight of them are 1024 bytes.
DEVICE u64 matrix_descriptor(u32 address) {
    const u64 swizzle_128 = 1;
    return (address & 0x3ffff) >> 4 | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | swizzle_128 << 62;
}

// Starts C += A Bᵀ over the columns of a stage, or C = A Bᵀ.
DEVICE void multiply(float (&c)[64], u32 a, u32 b, bool accumulate) {
    const u64 a_rows = matrix_descriptor(a);
    const u64 b_rows = matrix_descriptor(b);
    wgmma_fence();
    #pragma unroll
    for (int step = 0; step < kTileK / 16; ++step) {
        wgmma_shared(c, a_rows + step * 32 / 16, b_rows + step * 32 / 16, accumulate || step > 0);
    }
    wgmma_commit();
}

// Once for the warpgroup: its products have read the stage.
DEVICE void release(u32 empty) {
    if (threadIdx.x % 128 == 0) {
        mbarrier_arrive(empty);
    }
}

// ---- epilogue ----------------------------------------------------------------------------------

DEVICE void store_tile(const float (&c)[64], const TensorMap& map, u32 out, int group, int row,
                       int column) {
    const int lane_row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 16;
    // The stores of the tile before have read what is written now.
    if (threadIdx.x % 128 == 0) {
        bulk_wait_read();
    }
    barrier_sync(1 + group, 128);
    #pragma unroll
    for (int n = 0; n < kTile / 16; ++n) {
        const int chunk = n % 4 * 2 + threadIdx.x % 32 / 16;
        stmatrix_x4(out + n / 4 * kGroupPanel + lane_row * kPanelRow + (chunk ^ lane_row % 8) * 16,
                    pack_pair(c[8 * n], c[8 * n + 1]), pack_pair(c[8 * n + 2], c[8 * n + 3]),
                    pack_pair(c[8 * n + 4], c[8 * n + 5]), pack_pair(c[8 * n + 6], c[8 * n + 7]));
    }
    proxy_fence();
    barrier_sync(1 + group, 128);
    if (threadIdx.x % 128 == 0) {
        tma_store_2d(map, out, column, row);
        tma_store_2d(map, out + kGroupPanel, column + kTileK, row);
        bulk_commit();
    }
}

DEVICE void consume(u32 shared, const TensorMap& map, const Params& p, int group) {
    const u32 out = shared + kCAt + group * 2 * kGroupPanel;
    int load = 0;
    #pragma unroll 1
    for (int tile = blockIdx.x; tile < p.tiles_m * p.tiles_n; tile += gridDim.x) {
        float c[64];
        u32 read = 0;    // barrier of the stage whose products may still run
        #pragma unroll 1
        for (int step = 0; step < p.steps; ++step, ++load) {
            const Pass pass = pass_of(shared, load);
            mbarrier_wait(pass.full, pass.parity);
            multiply(c, pass.a + group * kGroupPanel, pass.b, step > 0);
            wgmma_wait_but_1();
            if (step > 0) {
                release(read);
            }
            read = pass.empty;
        }
        wgmma_wait();
        hold(c);
        release(read);
        const int row = tile % p.tiles_m * kTile + group * kGroupRows;
        store_tile(c, map, out, group, row, tile / p.tiles_m * kTile);
    }
    if (threadIdx.x % 128 == 0) {
        bulk_wait_read();
    }
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
gemm_bf16(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
          const __grid_constant__ TensorMap c, const __grid_constant__ Params p) {
    extern __shared__ __align__(1024) u8 memory[];
    const u32 shared = shared_address(memory);
    make_barriers(shared);
    // The same in all lanes, which the compiler has to see: branches on it are uniform.
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0);
    if (warp < 4) {
        give_registers();
        if (warp == 0 && elect_one()) {
            produce(shared, a, b, p);
        }
    } else {
        take_registers();
        consume(shared, c, p, warp / 4 - 1);
    }
}
