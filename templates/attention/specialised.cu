//# The attention room: CTAs stay resident and take tiles of query rows of one head, one after the
//# other. One warp copies, one hands out tiles, two warpgroups multiply.
// attention · flash forward over computed block pairs
// computes   O = softmax(Q Kᵀ · scale) V and lse, where the cache symbol is 1
//% if plan.forecast
// reuses     other blocks: a first launch writes Σ coefficient · cached feature, lse = -∞
//% else
// leaves     other blocks to the caller
//% endif
// skips      kv blocks whose skip symbol is 0
//% if plan.mask
// mask       ${ rules.mask_words }
//% endif
//% if plan.score
// score      ${ rules.score_words }
//% endif
//% set length = "sequence lengths by index pointer" if plan.ragged else "one sequence length"
// shape      D=${ plan.head_dim }, ${ plan.dtype }; ${ length }; B, H, H_kv, N, N_kv at run time
// blocks     q ${ plan.block_q }  kv ${ plan.block_kv }      tile  q ${ plan.tile_q }  kv ${ plan.tile_kv }${ ", heaviest first" if plan.heaviest_first }
// target     ${ plan.target }   threads ${ plan.threads }   shared ${ plan.shared.bytes } B
//% for line in shared_map
// ${ "shared" if loop.first else "      " }     ${ line }
//% endfor
//% set warps = plan.tile_q // 16
// roles      warps 0 to ${ warps - 1 }   multiply, 16 query rows each; ${ plan.roles.consumer } registers
//            warp ${ warps }         copies: one thread; ${ plan.roles.producer } registers, as all that follow
//            warp ${ warps + 1 }         hands out tiles, two ahead
//% if plan.ctas_per_sm > 1
// CTAs       ${ plan.ctas_per_sm } on a multiprocessor: one multiplies while another has softmax to do
//% endif
// pipeline   copy      K₃ Q K₂ V₃ K₁ V₂ K₀ V₁ K'₂ ${ "V₀ Q'" if plan.shares_query else "Q' V₀" } K'₁ …   kv tiles from the last to the first
//            multiply  S₃|   S₂ O₃|   S₁ O₂|   S₀ O₁|   O₀ S'₂|          |   S'₁ O'₂| …
//            beside        P₃|      P₂|      P₁|      P₀|      O → global, P'₂|      P'₁ …
//% if plan.sets_max
// rows       m is set by the first 32 columns of a tile's first step; then there is no running
//            maximum. P = 2^(S - m) has the exponents of f32 also when it is rounded to bf16, and
//            O / l is the same for every m. It is set 64 powers of 2 above S: P is 2^-64 there, and
//            S may grow by 2^40 before a warp makes its S again, from the K that is still in shared
//            memory, and raises m
// error      of P 2^-9, relative, as with a running maximum; P less than 2^-62 of the largest that
//            m has seen counts as 0, V below 2^-62 loses bits; O is finite wherever its truth is
//% endif
//% if absent
// absent     ${ absent | join(", ") }
//% endif
//# text
//% set gaps = plan.mask or plan.ragged

// ---- barriers ----------------------------------------------------------------------------------

// Of each pair, the first says that something has come, the second that nobody reads it any more.
constexpr int kTileSlots = 2;
constexpr int kKFull = kBarriersAt;
constexpr int kKFree = kKFull + 8 * kStages;
constexpr int kVFull = kKFree + 8 * kStages;
constexpr int kVFree = kVFull + 8 * kStages;
constexpr int kQFull = kVFree + 8 * kStages;
constexpr int kQFree = kQFull + 8;
constexpr int kSlotFull = kQFree + 8;
constexpr int kSlotFree = kSlotFull + 8 * kTileSlots;

// One thread makes them; everybody else must not touch them before.
DEVICE void set_up_barriers(u32 memory) {
    if (thread_x() == 0) {
        for (int n = 0; n < kStages; ++n) {
            mbarrier_init(memory + kKFull + 8 * n, 1);
            mbarrier_init(memory + kKFree + 8 * n, kConsumerWarps);
            mbarrier_init(memory + kVFull + 8 * n, 1);
            mbarrier_init(memory + kVFree + 8 * n, kConsumerWarps);
        }
        mbarrier_init(memory + kQFull, 1);
        mbarrier_init(memory + kQFree, kConsumerWarps);
        for (int n = 0; n < kTileSlots; ++n) {
            mbarrier_init(memory + kSlotFull + 8 * n, 1);
            mbarrier_init(memory + kSlotFree + 8 * n, kConsumerWarps + 1);
        }
        mbarrier_init_fence();
    }
//% if gaps
    for (int at = thread_x() * 16; at < 16 * kPanelRow; at += kThreads * 16) {
        store_shared_16(memory + kZerosAt + at, make_uint4(0, 0, 0, 0));
    }
    proxy_fence();
//% endif
    __syncthreads();
}

// ---- tiles -------------------------------------------------------------------------------------

// A tile of query rows and how many kv tiles it visits, at least one; 0: no tile is left.
struct Work {
    int b, h, first_q;
    int kv_tiles;
};

// Waits for tile `n` of this CTA.
DEVICE Work work_of(u32 memory, u32 n) {
    wait_full(memory + kSlotFull, kTileSlots, n);
    const uint4 work = load_shared_16(memory + kSlotsAt + 16 * (n % kTileSlots));
    return {(int)work.x, (int)work.y, (int)work.z, (int)work.w};
}

//% if plan.heaviest_first
DEVICE int listed_tiles(const Params& p) { return p.tiles[0]; }

DEVICE Tile listed_tile(const Params& p, int at) { return q_tile_at(p, p.tiles[1 + at]); }
//% else
DEVICE int listed_tiles(const Params& p) { return p.batch * p.heads * p.q_tiles; }

DEVICE Tile listed_tile(const Params& p, int at) { return q_tile_at(p, at); }

DEVICE bool has_work(const Params& p, const Tile& tile) {
//% if plan.ragged
    if (tile.first_q >= tile.n_q) {
        return false;
    }
//% endif
    return is_computed(p.s_c, tile.b * p.q_blocks + tile.i, p.heads, tile.h);
}
//% endif

// The scheduler's warp. ${ "The first tile has the CTA's number; then whoever comes first takes the next." if plan.heaviest_first else "Each CTA has tiles of its own." }
DEVICE void hand_out_tiles(const Params& p, u32 memory) {
//% if plan.heaviest_first
    // Only now the list has to be there: the CTA may have started beside the launch that makes it.
    wait_for_launch_before();
//% endif
    const int listed = listed_tiles(p);
    int at = cta_x();
    for (u32 n = 0;; ++n) {
        Tile tile = {};
        int kv_tiles = 0;
        wait_free(memory + kSlotFree, kTileSlots, n);
//% if not plan.heaviest_first
        while (at < listed && !has_work(p, listed_tile(p, at))) {
            at += gridDim.x;
        }
//% endif
        if (at < listed) {
            tile = listed_tile(p, at);
            kv_tiles = count_kv_tiles(p, tile);
        }
        if (thread_x() % 32 == 0) {
            store_shared_16(memory + kSlotsAt + 16 * (n % kTileSlots),
                            make_uint4(tile.b, tile.h, tile.first_q, kv_tiles));
            mbarrier_arrive(memory + kSlotFull + 8 * (n % kTileSlots));
        }
        if (kv_tiles == 0) {
            return;
        }
//% if plan.heaviest_first
        if (thread_x() % 32 == 0) {
            at = gridDim.x + atomicAdd(p.tiles_taken, 1);
        }
        at = __shfl_sync(0xffffffffu, at, 0);
//% else
        at += gridDim.x;
//% endif
    }
}

// ---- copy --------------------------------------------------------------------------------------

// The first token of a kv tile, as boxes count.
struct Place {
    int head, token, b;
};

//% if plan.ragged
// Sequences follow each other. Rows behind the end of one are the next one's.
//% endif
DEVICE Place kv_place(const Tile& tile, int head, const KvTile& now) {
//% if plan.ragged
    return {head, (int)tile.kv_row + now.kv, 0};
//% else
    return {head, now.kv, tile.b};
//% endif
}

DEVICE Place q_place(const Tile& tile, int row) {
//% if plan.ragged
    return {tile.h, (int)tile.q_row + tile.first_q + row, 0};
//% else
    return {tile.h, tile.first_q + row, tile.b};
//% endif
}

// K of a kv tile, and a note which one it is.
DEVICE void copy_k(const Params& p, u32 memory, u32 step, const KvTile& now, const Place& from) {
    const int stage = step % kStages;
    wait_free(memory + kKFree, kStages, step);
    note_kv_tile(memory + kNotesAt + 4 * stage, now);
    copy_panels(memory + kKAt + stage * kStageBytes, &p.k_boxes, memory + kKFull + 8 * stage,
                kTileKv, from.head, from.token, from.b);
}

DEVICE void copy_v(const Params& p, u32 memory, u32 step, const Place& from) {
    const int stage = step % kStages;
    wait_free(memory + kVFree, kStages, step);
    copy_panels(memory + kVAt + stage * kStageBytes, &p.v_boxes, memory + kVFull + 8 * stage,
                kTileKv, from.head, from.token, from.b);
}

DEVICE void copy_q(const Params& p, u32 memory, u32 n, const Tile& tile) {
    const Place from = q_place(tile, 0);
    wait_free(memory + kQFree, 1, n);
    copy_panels(memory + kQAt, &p.q_boxes, memory + kQFull, kTileQ, from.head, from.token, from.b);
}

// The producer's thread. K of a kv tile is needed one step before its V, also where a tile ends.
DEVICE void copy_all(const Params& p, u32 memory) {
    prefetch_tensor_map(&p.q_boxes);
    prefetch_tensor_map(&p.k_boxes);
    prefetch_tensor_map(&p.v_boxes);
    prefetch_tensor_map(&p.o_boxes);
    u32 step = 0;
    Place before = {};    // of the kv tile whose V is to come
    for (u32 n = 0;; ++n) {
        const Work work = work_of(memory, n);
        if (work.kv_tiles == 0) {
            break;
        }
        const Tile tile = tile_of_rows(p, work.b, work.h, work.first_q);
        const int head = work.h / p.heads_per_kv_head;
        Descent walk = last_kv_tile(p, tile);
        #pragma unroll 1
        for (int left = work.kv_tiles;; next_lower_kv_tile(walk, p, tile)) {
            const Place now = kv_place(tile, head, walk.now);
            copy_k(p, memory, step, walk.now, now);
//% if not plan.shares_query
            if (left == work.kv_tiles) {
                copy_q(p, memory, n, tile);
            }
//% endif
            if (step > 0) {
                copy_v(p, memory, step - 1, before);
            }
//% if plan.shares_query
            if (left == work.kv_tiles) {
                copy_q(p, memory, n, tile);
            }
//% endif
            before = now;
            ++step;
            if (--left == 0) {
                break;
            }
        }
        mbarrier_arrive(memory + kSlotFree + 8 * (n % kTileSlots));
    }
    if (step > 0) {
        copy_v(p, memory, step - 1, before);
    }
}

// ---- multiply ----------------------------------------------------------------------------------

//% if plan.shares_query
// Q is an operand where it is, in shared memory.
struct Query {};
//% else
// Q as an operand: a warp's rows, in registers.
typedef u32 Query[kQkSteps][4];
//% endif

// Where a warp that multiplies stands.
struct Consumer {
    u32 memory;
    u32 n;       // tiles that it has taken
    u32 step;    // of the present K
//% if gaps
    bool has_gaps;    // pairs of the present kv tile that have no weight, whatever V is there
    bool is_taken;    // its P V is in O already
//% endif
};

// The next tile, whose slot is then free.
DEVICE Work take_work(Consumer& at) {
    const Work work = work_of(at.memory, at.n);
    release(at.memory + kSlotFree, kTileSlots, at.n);
    ++at.n;
    return work;
}

//% if plan.sets_max or not plan.shares_query
// Where a thread reads the warp's rows of Q.
DEVICE u32 query_rows(const Consumer& at) {
    return at.memory + kQAt + warp_row() * kPanelRow + lane_of_thread().by_rows;
}

//% endif
// The place of Q of the tile is free.
DEVICE void release_query(const Consumer& at) { release(at.memory + kQFree, 1, at.n - 1); }

//% if plan.shares_query
// Q of the tile, which is released behind its last S.
DEVICE void take_query(Query&, const Consumer& at) {
    wait_full(at.memory + kQFull, 1, at.n - 1);
}

// The warpgroup's rows of Q. Worked out again for each S: the loop has no register for it.
DEVICE u64 query_descriptor(const Consumer& at) {
    // The same in all lanes, which the compiler has to see.
    const u32 rows = __shfl_sync(0xffffffffu, warpgroup() * kGroupRows * kPanelRow, 0);
    return panel_descriptor(at.memory + kQAt + rows, 16);
}
//% else
// Q of the tile, whose place is then free.
DEVICE void take_query(Query& q, const Consumer& at) {
    const u32 rows = query_rows(at);
    wait_full(at.memory + kQFull, 1, at.n - 1);
    UNROLL for (int k = 0; k < kQkSteps; ++k) {
        ldmatrix_x4(q[k], operand_step(rows, k, kTileQ));
    }
    release_query(at);
}
//% endif

DEVICE u32 k_stage(const Consumer& at) {
    return at.memory + kKAt + at.step % kStages * kStageBytes;
}

// The kv tile whose K is there.
DEVICE KvTile present_kv_tile(const Consumer& at) {
    return noted_kv_tile(at.memory + kNotesAt + 4 * (at.step % kStages));
}

// Starts S = Q Kᵀ, when K has come.
DEVICE void start_qk(Logits& logits, const Query& q, const Consumer& at) {
    const u64 k_tile = panel_descriptor(k_stage(at), 16);
//% if plan.shares_query
    const u64 q_rows = query_descriptor(at);
//% endif
    wait_full(at.memory + kKFull, kStages, at.step);
    wgmma_fence();
    UNROLL for (int k = 0; k < kQkSteps; ++k) {
//% if plan.shares_query
        wgmma_shared_${ plan.tile_kv }(&logits[0][0][0], q_rows + along_rows(k, kTileQ),
                        k_tile + along_rows(k, kTileKv), k > 0);
//% else
        wgmma_registers(&logits[0][0][0], q[k], k_tile + along_rows(k, kTileKv), k > 0);
//% endif
    }
    wgmma_commit();
}

// Starts O += P V of the step before the present one, when V has come.
DEVICE void start_pv(Accumulator& acc, const Prob& prob, const Consumer& at) {
    const u32 step = at.step - 1;
    const u32 v = at.memory + kVAt + step % kStages * kStageBytes;
//% if gaps
    // Of a tile that is in O already there are zeros in place of each step.
    const u64 v_tile = at.is_taken ? panel_descriptor(at.memory + kZerosAt, 0)
                                   : panel_descriptor(v, kTileKv * kPanelRow);
    const int v_step = at.is_taken ? 0 : kPanelRow;
//% else
    const u64 v_tile = panel_descriptor(v, kTileKv * kPanelRow);
    const int v_step = kPanelRow;
//% endif
    wait_full(at.memory + kVFull, kStages, step);
    wgmma_fence();
    UNROLL for (int k = 0; k < kTileKv / 16; ++k) {
        wgmma_registers_across(&acc.o[0][0][0], prob[0][k], v_tile + k * v_step, true);
    }
    wgmma_commit();
}
//% if gaps

// O += P V of a kv tile with pairs that have no weight, if V holds infinities or NaN. P is 0 then,
// for the products that follow all the same. Seldom, and nothing else runs beside it.
DEVICE void multiply_gaps(Accumulator& acc, Prob& prob, Consumer& at) {
    at.is_taken = false;
    if (at.has_gaps) {
        const u32 v = at.memory + kVAt + at.step % kStages * kStageBytes;
        wait_full(at.memory + kVFull, kStages, at.step);
        at.is_taken = warpgroup_has_specials(v);
        if (at.is_taken) {
            // The rows of the last tile have left.
            bulk_wait_read();
            multiply_pv_by_rows(acc, prob, v, at.memory + kOAt + warp_row() * kPanelRow);
            UNROLL for (int i = 0; i < kTileKv / 4; ++i) {
                prob[0][i / 4][i % 4] = 0;
            }
        }
    }
    at.is_taken = __any_sync(0xffffffffu, at.is_taken);
}
//% endif

// Values are known behind a wait for their products alone.
DEVICE void hold_logits(Logits& logits) {
    UNROLL for (int at = 0; at < kLogits; ++at) {
        hold(logit(logits, at));
    }
}

DEVICE void hold_output(Accumulator& acc) {
    UNROLL for (int at = 0; at < kHeadDim / 2; ++at) {
        hold(acc.o[0][at / 4][at % 4]);
    }
}
//% if plan.sets_max

// S = Q Kᵀ of this warp alone.
DEVICE void multiply_qk_again(Logits& logits, const Query& q, const Consumer& at) {
    const u32 columns = k_stage(at) + lane_of_thread().by_columns;
    clear_logits(logits);
//% if plan.shares_query
    const u32 rows = query_rows(at);
    // Not written out: a step's operands are then all that it takes of registers.
    #pragma unroll 1
    for (int k = 0; k < kQkSteps; ++k) {
        u32 a[4];
        ldmatrix_x4(a, operand_step(rows, k, kTileQ));
//% else
    UNROLL for (int k = 0; k < kQkSteps; ++k) {
        const u32 (&a)[4] = q[k];
//% endif
        UNROLL for (int n = 0; n < kTileKv / 16; ++n) {
            u32 b[4];
            ldmatrix_x4(b, operand_step(columns, k, kTileKv) + n * 16 * kPanelRow);
            mma_16816(logits[0][2 * n], a, b[0], b[1]);
            mma_16816(logits[0][2 * n + 1], a, b[2], b[3]);
        }
    }
}
//% endif

// S as softmax takes it, of which the sequence has `valid` columns.
DEVICE void finish_logits(Logits& logits, Consumer& at, const Params& p, const Tile& tile,
                          int valid) {
//% if plan.score or plan.mask
    const KvTile now = present_kv_tile(at);
//% endif
//% if plan.score
    apply_score(logits, p, tile, now.kv);
//% endif
//% if plan.mask
    if (now.partial) {
        apply_mask(logits, p, tile, now.kv);
    }
//% endif
//% if gaps
    at.has_gaps = ${ "now.partial" if plan.mask }${ " || " if plan.mask and plan.ragged }${ "valid < kTileKv" if plan.ragged };
//% endif
    if (valid < kTileKv) {
        UNROLL for (int at = 0; at < kLogits; ++at) {
            if (fragment_column() + column_of(at) >= valid) {
                logit(logits, at) = negative_infinity();
            }
        }
    }
}

// P in the place of S, and l. K is free then.
DEVICE void take_logits(Accumulator& acc, Logits& logits, const Query& q, Consumer& at,
                        const Params& p, const Tile& tile, int valid) {
    float sums[kRows];
//% if plan.sets_max
    exponentiate_in_place(logits, sums, acc, p);
    if (has_outgrown(sums)) {
        // Seldom. O can be rescaled when P V of the kv tile before this one is in it.
        wgmma_wait();
        hold_output(acc);
        multiply_qk_again(logits, q, at);
        finish_logits(logits, at, p, tile, valid);
        float most[kRows];
        row_maxima(most, logits, p);
        rescale(acc, most);
        exponentiate_in_place(logits, sums, acc, p);
    }
    release(at.memory + kKFree, kStages, at.step);
//% else
    float most[kRows];
    release(at.memory + kKFree, kStages, at.step);
    row_maxima(most, logits, p);
    if (has_outgrown(most, acc)) {
        // O can be rescaled when P V of the kv tile before this one is in it.
        wgmma_wait();
        hold_output(acc);
        rescale(acc, most);
    }
    exponentiate_in_place(logits, sums, acc, p);
//% endif
    UNROLL for (int i = 0; i < kRows; ++i) {
        acc.l[i] += sums[i];
    }
}

// The first kv tile, whose products have started: the only one that meets the end of the sequence.
DEVICE void take_first_kv_tile(Accumulator& acc, Logits& logits, Prob& prob, const Query& q,
                               Consumer& at, const Params& p, const Tile& tile) {
    const int valid = tile.n_kv - present_kv_tile(at).kv;
    wgmma_wait();
    hold_logits(logits);
    finish_logits(logits, at, p, tile, valid);
    acc = empty_accumulator();
//% if plan.sets_max
    set_row_max(acc, logits, p);
//% endif
    take_logits(acc, logits, q, at, p, tile, valid);
    round_prob(prob, logits);
//% if gaps
    multiply_gaps(acc, prob, at);
//% endif
}

// The hot loop: S of a kv tile and P V of the one before it, and P of the former beside the latter.
DEVICE void take_kv_tile(Accumulator& acc, Logits& logits, Prob& prob, const Query& q, Consumer& at,
                         const Params& p, const Tile& tile) {
    ++at.step;
    start_qk(logits, q, at);
    start_pv(acc, prob, at);
    wgmma_wait_but_1();
    hold_logits(logits);
    finish_logits(logits, at, p, tile, kTileKv);
    take_logits(acc, logits, q, at, p, tile, kTileKv);
    wgmma_wait();
    hold_output(acc);
    release(at.memory + kVFree, kStages, at.step - 1);
    round_prob(prob, logits);
//% if gaps
    multiply_gaps(acc, prob, at);
//% endif
}

// ---- epilogue ----------------------------------------------------------------------------------

//% if plan.ragged
// A warp's last rows of a sequence, kOutPanels of them from panel `first` on: a box would reach
// into the next sequence.
DEVICE void store_last_rows(const Params& p, const Tile& tile, u32 from, int first) {
    constexpr int kChunks = kOutPanels * kPanelChunks;
    #pragma unroll 1
    for (int at = thread_x() % 32; at < 16 * kChunks; at += 32) {
        const int row = at / kChunks;
        const int chunk = at % kChunks;
        if (tile.first_q + warp_row() + row < tile.n_q) {
            const u32 panel = from + chunk / kPanelChunks * (kTileQ * kPanelRow);
            u16* to = p.o + q_offset(p, tile, warp_row() + row) + first * (kPanelChunks * 8);
            *(uint4*)(to + chunk * 8) = load_shared_16(panel + in_panel(row, chunk % kPanelChunks));
        }
    }
}

//% endif
// O / l leaves through shared memory of its own, in boxes of a warp's rows; lse at once.
DEVICE void store_tile(Accumulator& acc, u32 memory, const Params& p, const Tile& tile) {
    float inverse[kRows];
    UNROLL for (int i = 0; i < kRows; ++i) {
        const float l = quad_sum(acc.l[i]);
        const int row = warp_row() + fragment_row() + i * 8;
        // An empty row has l = 0: its output is 0 and its lse -∞.
        inverse[i] = l == 0.0f ? 0.0f : rcp_approx(l);
        if (fragment_column() == 0 && tile.first_q + row < tile.n_q) {
            p.lse[lse_offset(p, tile, row)] =
                l == 0.0f ? negative_infinity() : ${ "acc.m[i] + __log2f(l) * kLn2" if plan.score else "(acc.m[i] + __log2f(l)) * kLn2" };
        }
    }
    const u32 rows = memory + kOAt + warp_row() * kPanelRow;
    const u32 to = rows + lane_of_thread().by_rows;
    UNROLL for (int first = 0; first < kPanels; first += kOutPanels) {
        // What was there has left.
        bulk_wait_read();
        __syncwarp();
        UNROLL for (int d = 0; d < kOutPanels * kPanelChunks / 2; ++d) {
            const float (&low)[4] = acc.o[0][first * kPanelChunks + 2 * d];
            const float (&high)[4] = acc.o[0][first * kPanelChunks + 2 * d + 1];
            stmatrix_x4(operand_step(to, d, kTileQ),
                        pack_pair(low[0] * inverse[0], low[1] * inverse[0]),
                        pack_pair(low[2] * inverse[1], low[3] * inverse[1]),
                        pack_pair(high[0] * inverse[0], high[1] * inverse[0]),
                        pack_pair(high[2] * inverse[1], high[3] * inverse[1]));
        }
        proxy_fence();
        __syncwarp();
//% if plan.ragged
        if (tile.first_q + warp_row() + 16 > tile.n_q) {
            store_last_rows(p, tile, rows, first);
            continue;
        }
//% endif
        if (thread_x() % 32 == 0) {
            const Place to = q_place(tile, warp_row());
            store_panels(&p.o_boxes, rows, kTileQ, first, to.head, to.token, to.b);
        }
    }
}

// ---- roles -------------------------------------------------------------------------------------

// Tiles in step. The next tile's first S is made beside the last P V and the epilogue.
DEVICE void multiply_all_tiles(const Params& p, u32 memory) {
    Consumer at = {memory, 0, 0};
    Accumulator acc;
    Logits logits;
    Prob prob;
    Query q;
    Work work = take_work(at);
    if (work.kv_tiles == 0) {
        return;
    }
    Tile tile = tile_of_rows(p, work.b, work.h, work.first_q);
    take_query(q, at);
    start_qk(logits, q, at);
    take_first_kv_tile(acc, logits, prob, q, at, p, tile);
    for (;;) {
        #pragma unroll 1
        for (int left = work.kv_tiles - 1; left > 0; --left) {
            take_kv_tile(acc, logits, prob, q, at, p, tile);
        }
//% if plan.shares_query
        release_query(at);
//% endif
        ++at.step;
        work = take_work(at);
        if (work.kv_tiles == 0) {
            break;
        }
//% if plan.shares_query
        start_pv(acc, prob, at);
        take_query(q, at);
//% else
        take_query(q, at);
        start_pv(acc, prob, at);
//% endif
        start_qk(logits, q, at);
        wgmma_wait_but_1();
        hold_output(acc);
        release(memory + kVFree, kStages, at.step - 1);
        store_tile(acc, memory, p, tile);
        tile = tile_of_rows(p, work.b, work.h, work.first_q);
        take_first_kv_tile(acc, logits, prob, q, at, p, tile);
    }
    start_pv(acc, prob, at);
    wgmma_wait();
    hold_output(acc);
    store_tile(acc, memory, p, tile);
    bulk_wait_read();
}

extern "C" __global__ void __launch_bounds__(kThreads, ${ plan.ctas_per_sm })
${ entry }(const __grid_constant__ Params p) {
    extern __shared__ __align__(1024) u8 shared[];
    const u32 memory = shared_address(shared);
    set_up_barriers(memory);
    // The same in all lanes, which the compiler has to see: branches on it are uniform.
    const int warp = __shfl_sync(0xffffffffu, thread_x() / 32, 0);
    if (warp < kConsumerWarps) {
        take_registers();
        multiply_all_tiles(p, memory);
    } else {
        give_registers();
        if (warp == kConsumerWarps && elect_one()) {
            copy_all(p, memory);
        } else if (warp == kConsumerWarps + 1) {
            hand_out_tiles(p, memory);
        }
    }
}
