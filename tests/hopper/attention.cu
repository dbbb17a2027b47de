// O = softmax(Q Kᵀ · scale) V and lse, for sm_90a: one warpgroup loads, two multiply.
//
// shape      D=128, bf16; H, N, N_kv at run time; a sequence's tensors are [N, H, D]
// tile       q 128  kv 128, a CTA for each q tile and head
// shared     0       q, 32768 B; later o
//            32768   ring of 4 stages of 32768 B: K, V, K, V
//            163840  mbarriers: q, and full and empty of each stage

constexpr int kHeadDim = 128;
constexpr int kTileQ = 128;
constexpr int kTileKv = 128;
constexpr int kGroupRows = 64;    // query rows of a warpgroup: those of one wgmma
constexpr int kGroups = 2;        // warpgroups that multiply
constexpr int kThreads = (1 + kGroups) * 128;
constexpr int kStages = 4;
constexpr int kStepBytes = 32;    // 16 columns, which one wgmma takes
constexpr int kPanelColumns = 64;
constexpr int kPanelRow = kPanelColumns * 2;    // bytes, the span of the 128-byte swizzle
constexpr int kPanels = kHeadDim / kPanelColumns;
constexpr int kPanelSteps = kPanelRow / kStepBytes;
constexpr int kPanelBytes = kTileKv * kPanelRow;
constexpr int kTileBytes = kPanels * kPanelBytes;
static_assert(kTileQ == kTileKv, "tiles of Q, K and V are alike");
constexpr int kQAt = 0;
constexpr int kRingAt = kQAt + kTileBytes;
constexpr int kQFullAt = kRingAt + kStages * kTileBytes;
constexpr int kFullAt = kQFullAt + 8;
constexpr int kEmptyAt = kFullAt + 8 * kStages;
constexpr float kLn2 = 0.69314718f;

struct Params {
    float* lse;          // [H, N], natural logarithm
    int n_q;             // N: query tokens
    int n_kv;            // N_kv: key/value tokens, at least 1
    float scale_log2;    // of the logits, times log2(e)
};

// One pass over a stage of the ring. K of tile j is load 2j, V of it load 2j + 1.
struct Pass {
    u32 tile, full, empty;
    u32 parity;    // of the phase of `full` in which the load arrives
};

DEVICE Pass pass_of(u32 shared, int load) {
    const int stage = load % kStages;
    Pass pass;
    pass.tile = shared + kRingAt + stage * kTileBytes;
    pass.full = shared + kFullAt + 8 * stage;
    pass.empty = shared + kEmptyAt + 8 * stage;
    pass.parity = load / kStages & 1;
    return pass;
}

DEVICE int kv_tiles(const Params& p) { return (p.n_kv + kTileKv - 1) / kTileKv; }

// One thread makes the barriers; everybody else must not touch them before.
DEVICE void make_barriers(u32 shared) {
    if (threadIdx.x == 0) {
        mbarrier_init(shared + kQFullAt, 1);
        for (int stage = 0; stage < kStages; ++stage) {
            mbarrier_init(shared + kFullAt + 8 * stage, 1);
            mbarrier_init(shared + kEmptyAt + 8 * stage, kGroups);
        }
        mbarrier_init_fence();
    }
    __syncthreads();
}

// ---- load --------------------------------------------------------------------------------------

// Rows past the last token arrive as zeros, and count.
DEVICE void load_tile(u32 to, const TensorMap& map, u32 full, int head, int row) {
    mbarrier_expect(full, kTileBytes);
    #pragma unroll
    for (int g = 0; g < kPanels; ++g) {
        tma_load_3d(to + g * kPanelBytes, map, full, g * kPanelColumns, head, row);
    }
}

// A stage is free at first: the phase before the first one counts as over.
DEVICE void load_kv(u32 shared, const TensorMap& map, int load, int head, int row) {
    const Pass pass = pass_of(shared, load);
    mbarrier_wait(pass.empty, pass.parity ^ 1);
    load_tile(pass.tile, map, pass.full, head, row);
}

// ---- compute -----------------------------------------------------------------------------------

// Where wgmma finds a tile of panels in shared memory. Panels lie `panel_stride` bytes apart, which
// counts only where rows lie along n; eight rows are 1024 bytes.
DEVICE u64 matrix_descriptor(u32 address, u32 panel_stride) {
    const u64 swizzle_128 = 1;
    return (address & 0x3ffff) >> 4 | (u64)(panel_stride >> 4) << 16 | (u64)(1024 >> 4) << 32
        | swizzle_128 << 62;
}

// Starts S = Q Kᵀ.
DEVICE void multiply_qk(float (&s)[64], u32 q, u32 k) {
    const u64 a = matrix_descriptor(q, 16);
    const u64 b = matrix_descriptor(k, 16);
    wgmma_fence();
    #pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step) {
        const int at = step / kPanelSteps * kPanelBytes + step % kPanelSteps * kStepBytes;
        wgmma_shared(s, a + at / 16, b + at / 16, step > 0);
    }
    wgmma_commit();
}

// Starts O += P V.
DEVICE void multiply_pv(float (&o)[64], const u32 (&prob)[kTileKv / 16][4], u32 v) {
    const u64 b = matrix_descriptor(v, kPanelBytes);
    wgmma_fence();
    #pragma unroll
    for (int step = 0; step < kTileKv / 16; ++step) {
        wgmma_registers(o, prob[step], b + step * 16 * kPanelRow / 16);
    }
    wgmma_commit();
}

// Once for the warpgroup: its products have read the stage.
DEVICE void release(const Pass& pass) {
    if (threadIdx.x % 128 == 0) {
        mbarrier_arrive(pass.empty);
    }
}

// What is known of a thread's two query rows.
struct Rows {
    float m[2];    // largest S
    float l[2];    // sum of P over the columns of this thread
};

// Columns past the last token have no weight.
DEVICE void mask_tail(float (&s)[64], int columns) {
    #pragma unroll
    for (int i = 0; i < 64; ++i) {
        if (i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2 >= columns) {
            s[i] = __uint_as_float(0xff800000u);
        }
    }
}

// m ← max(m, rowmax S);  P = 2^((S - m) · scale), in place of S;  l ← l · factor + rowsum P
DEVICE void softmax(Rows& rows, float (&factor)[2], float (&s)[64], float scale_log2) {
    #pragma unroll
    for (int r = 0; r < 2; ++r) {
        float most = rows.m[r];
        #pragma unroll
        for (int i = 2 * r; i < 64; i += 4) {
            most = fmaxf(most, fmaxf(s[i], s[i + 1]));
        }
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        factor[r] = exp2_approx((rows.m[r] - most) * scale_log2);
        rows.m[r] = most;
        rows.l[r] *= factor[r];
        const float shift = -most * scale_log2;
        #pragma unroll
        for (int i = 2 * r; i < 64; i += 4) {
            s[i] = exp2_approx(fmaf(s[i], scale_log2, shift));
            s[i + 1] = exp2_approx(fmaf(s[i + 1], scale_log2, shift));
            rows.l[r] += s[i] + s[i + 1];
        }
    }
}

// Accumulators of two 8-column tiles are one 16-deep A operand.
DEVICE void pack(u32 (&prob)[kTileKv / 16][4], const float (&s)[64]) {
    #pragma unroll
    for (int i = 0; i < 32; ++i) {
        prob[i / 4][i % 4] = pack_pair(s[2 * i], s[2 * i + 1]);
    }
}

DEVICE void scale_rows(float (&o)[64], const float (&factor)[2]) {
    #pragma unroll
    for (int i = 0; i < 64; ++i) {
        o[i] *= factor[i / 2 % 2];
    }
}

// ---- epilogue ----------------------------------------------------------------------------------

// O leaves through the rows of Q that this warpgroup alone has read.
DEVICE void store_output(const float (&o)[64], const TensorMap& map, u32 out, int group, int head,
                         int row) {
    const int lane_row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 16;
    // The other warps' products have read Q.
    barrier_sync(1 + group, 128);
    #pragma unroll
    for (int n = 0; n < kHeadDim / 16; ++n) {
        const int chunk = n % kPanelSteps * 2 + threadIdx.x % 32 / 16;
        stmatrix_x4(out + n / kPanelSteps * kPanelBytes + lane_row * kPanelRow
                        + (chunk ^ lane_row % 8) * 16,
                    pack_pair(o[8 * n], o[8 * n + 1]), pack_pair(o[8 * n + 2], o[8 * n + 3]),
                    pack_pair(o[8 * n + 4], o[8 * n + 5]), pack_pair(o[8 * n + 6], o[8 * n + 7]));
    }
    proxy_fence();
    barrier_sync(1 + group, 128);
    if (threadIdx.x % 128 == 0) {
        for (int g = 0; g < kPanels; ++g) {
            tma_store_3d(map, out + g * kPanelBytes, g * kPanelColumns, head, row);
        }
        bulk_commit();
        bulk_wait_read();
    }
}

// Takes the sums of the lanes that share a row; leaves 1 / l in `l`.
DEVICE void finish_rows(Rows& rows, const Params& p, int head, int row) {
    row += threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    #pragma unroll
    for (int r = 0; r < 2; ++r) {
        rows.l[r] += __shfl_xor_sync(0xffffffffu, rows.l[r], 1);
        rows.l[r] += __shfl_xor_sync(0xffffffffu, rows.l[r], 2);
        if (threadIdx.x % 4 == 0 && row + 8 * r < p.n_q) {
            p.lse[head * p.n_q + row + 8 * r] =
                (rows.m[r] * p.scale_log2 + log2_approx(rows.l[r])) * kLn2;
        }
        rows.l[r] = rcp_approx(rows.l[r]);
    }
}

// ---- roles -------------------------------------------------------------------------------------

DEVICE void produce(u32 shared, const TensorMap& q, const TensorMap& k, const TensorMap& v,
                    const Params& p) {
    const int head = blockIdx.y;
    load_tile(shared + kQAt, q, shared + kQFullAt, head, blockIdx.x * kTileQ);
    #pragma unroll 1
    for (int j = 0; j < kv_tiles(p); ++j) {
        load_kv(shared, k, 2 * j, head, j * kTileKv);
        load_kv(shared, v, 2 * j + 1, head, j * kTileKv);
    }
}

DEVICE void consume(u32 shared, const TensorMap& out, const Params& p, int group) {
    const int tiles = kv_tiles(p);
    const u32 q = shared + kQAt + group * kGroupRows * kPanelRow;
    const float lowest = __uint_as_float(0xff800000u);
    Rows rows = {{lowest, lowest}, {0.0f, 0.0f}};
    float s[64], o[64], factor[2];
    u32 prob[kTileKv / 16][4];

    mbarrier_wait(shared + kQFullAt, 0);
    Pass k = pass_of(shared, 0);
    mbarrier_wait(k.full, k.parity);
    multiply_qk(s, q, k.tile);
    wgmma_wait();
    hold(s);
    release(k);
    if (p.n_kv < kTileKv) {
        mask_tail(s, p.n_kv);
    }
    softmax(rows, factor, s, p.scale_log2);
    pack(prob, s);
    #pragma unroll
    for (int i = 0; i < 64; ++i) {
        o[i] = 0.0f;
    }

    // S of tile j beside P V of the tile before it; the exponentials stand beside the latter.
    #pragma unroll 1
    for (int j = 1; j < tiles; ++j) {
        k = pass_of(shared, 2 * j);
        const Pass v = pass_of(shared, 2 * j - 1);
        mbarrier_wait(k.full, k.parity);
        multiply_qk(s, q, k.tile);
        mbarrier_wait(v.full, v.parity);
        multiply_pv(o, prob, v.tile);
        wgmma_wait_but_1();
        hold(s);
        release(k);
        if (p.n_kv - j * kTileKv < kTileKv) {
            mask_tail(s, p.n_kv - j * kTileKv);
        }
        softmax(rows, factor, s, p.scale_log2);
        wgmma_wait();
        hold(o);
        release(v);
        pack(prob, s);
        scale_rows(o, factor);
    }

    const Pass v = pass_of(shared, 2 * tiles - 1);
    mbarrier_wait(v.full, v.parity);
    multiply_pv(o, prob, v.tile);
    wgmma_wait();
    hold(o);
    const int row = blockIdx.x * kTileQ + group * kGroupRows;
    finish_rows(rows, p, blockIdx.y, row);
    scale_rows(o, rows.l);
    store_output(o, out, q, group, blockIdx.y, row);
}

extern "C" __global__ void __launch_bounds__(kThreads, 1)
attention_d128_bf16(const __grid_constant__ TensorMap q, const __grid_constant__ TensorMap k,
                    const __grid_constant__ TensorMap v, const __grid_constant__ TensorMap out,
                    const __grid_constant__ Params p) {
    extern __shared__ __align__(1024) u8 memory[];
    const u32 shared = shared_address(memory);
    make_barriers(shared);
    // The same in all lanes, which the compiler has to see: branches on it are uniform.
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0);
    if (warp < 4) {
        give_registers();
        if (warp == 0 && elect_one()) {
            produce(shared, q, k, v, p);
        }
    } else {
        take_registers();
        consume(shared, out, p, warp / 4 - 1);
    }
}
