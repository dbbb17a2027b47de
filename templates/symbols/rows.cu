//% if plan.caches

// ---- cache symbol ------------------------------------------------------------------------------

//% if rules.symbols.cache_by == "heads"
// Of a head: which of its query blocks are computed, 32 to a word.
DEVICE void make_cache_bits(const Params& p, int b, int h) {
    u32* words = p.cache_bits + head_at(p, b, h) * ((p.q_blocks + 31) / 32);
    for (int word = threadIdx.x / 32; word * 32 < p.q_blocks; word += kCtaRows) {
        const int i = word * 32 + threadIdx.x % 32;
        const u32 bits =
            __ballot_sync(0xffffffffu, i < p.q_blocks && ${ rules.symbols.compute_test });
        if (threadIdx.x % 32 == 0) {
            words[word] = bits;
        }
    }
}

// The rows of S_c: one bit for each head. A warp turns words of 32 heads round, a lane to a row.
DEVICE void write_cache_rows(const Params& p, int b) {
    const int lane = threadIdx.x % 32;
    const int words = words_of(p.heads);
    for (int first_i = threadIdx.x / 32 * 32; first_i < p.q_blocks; first_i += 32 * kCtaRows) {
        u32* row = p.s_c_out + ((i64)b * p.q_blocks + first_i + lane) * words;
        for (int word = 0; word < words; ++word) {
            const int h = word * 32 + lane;
            u32 bits = 0;
            if (h < p.heads) {
                const i64 at = head_at(p, b, h) * ((p.q_blocks + 31) / 32);
                bits = p.cache_bits[at + first_i / 32];
            }
            UNROLL for (u32 half = 16; half > 0; half /= 2) {
                const u32 low = ~0u / ((1u << half) + 1);
                const u32 other = __shfl_xor_sync(0xffffffffu, bits, half);
                bits = lane & half ? (bits & ~low) | (other >> half & low)
                                   : (bits & low) | (other << half & ~low);
            }
            if (first_i + lane < p.q_blocks) {
                row[word] = bits;
            }
        }
    }
}
//% else
// A row of S_c: one bit for each head. So many warps share it.
DEVICE void write_cache_row(const Params& p, int b, int i, int warp, int warps) {
    const int lane = threadIdx.x % 32;
    u32* row = p.s_c_out + ((i64)b * p.q_blocks + i) * words_of(p.heads);
    for (int word = warp; word < words_of(p.heads); word += warps) {
        const int h = word * 32 + lane;
        const u32 bits = __ballot_sync(0xffffffffu, h < p.heads && ${ rules.symbols.compute_test });
        if (lane == 0) {
            row[word] = bits;
        }
    }
}
//% if rules.symbols.cache_by == "items"

// All rows of S_c.
DEVICE void write_cache_rows(const Params& p, int b) {
    for (int i = threadIdx.x / 32; i < p.q_blocks; i += kCtaRows) {
        write_cache_row(p, b, i, 0, 1);
    }
}
//% endif
//% endif
//% endif
//% if plan.skips or plan.mask

// ---- skip and full symbols ---------------------------------------------------------------------

// A row of S_s${ ", and of S_f" if plan.mask }: one bit for each kv block. So many warps share it.
DEVICE void write_pair_row(const Params& p, int b, int h, int i, int warp, int warps) {
    const int lane = threadIdx.x % 32;
    const int words = words_of(p.kv_blocks);
    const i64 row = (((i64)b * p.heads + h) * p.q_blocks + i) * words;
    for (int word = warp; word < words; word += warps) {
        const int j = word * 32 + lane;
//% if plan.mask
        const u32 verdict = ${ rules.symbols.classify_call };
//% endif
        const u32 s_s = __ballot_sync(0xffffffffu, ${ rules.symbols.keep_test });
//% if plan.mask
        const u32 s_f = __ballot_sync(0xffffffffu, verdict == kPass);
//% endif
        if (lane == 0) {
            p.s_s_out[row + word] = s_s;
//% if plan.mask
            p.s_f_out[row + word] = s_f;
//% endif
        }
    }
}
//% endif
