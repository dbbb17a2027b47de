//# part warpgroup_has_specials
// Whether a kv tile holds an infinite or NaN element: each warp of a warpgroup looks at a quarter.
// Exponents of all ones carry into the place of the sign.
DEVICE bool warpgroup_has_specials(u32 kv_tile) {
    constexpr u32 kExponents = ${ "0x7f807f80" if plan.dtype == "bf16" else "0x7c007c00" };
    constexpr u32 kCarries = ${ "0x00800080" if plan.dtype == "bf16" else "0x04000400" };
    u32 carried = 0;
    for (int at = thread_x() % 128 * 16; at < kTileKv * kHeadDim * 2; at += 128 * 16) {
        const uint4 v = load_shared_16(kv_tile + at);
        carried |= (v.x & kExponents) + kCarries | (v.y & kExponents) + kCarries;
        carried |= (v.z & kExponents) + kCarries | (v.w & kExponents) + kCarries;
    }
    const bool found = barrier_any(1 + thread_x() / 128, 128, carried & 0x80008000u);
    return __any_sync(0xffffffffu, found);
}
//# part add_where_weighted_by
// o += p · v, unless p is 0: whatever v is then.
DEVICE void add_where_weighted_by(float& o, float p, float v) { o = p > 0.0f ? fmaf(p, v, o) : o; }
//# part multiply_pv_by_rows
// O += P V where V may hold infinities or NaN: a row of V after the other, and only where a row of
// P gives weight to it. P goes through `scratch`, sixteen rows of a panel, 32 columns of them.
DEVICE void multiply_pv_by_rows(Accumulator& acc, const Prob& prob, u32 v_tile, u32 scratch) {
    UNROLL for (int first = 0; first < kTileKv / 16; first += 2) {
        __syncwarp();
        UNROLL for (int i = 0; i < 8; ++i) {
            const int column = i / 4 * 16 + i % 4 / 2 * 8 + fragment_column();
            const int chunk = in_panel(fragment_row() + i % 2 * 8, column / 8);
            store_shared(scratch + chunk + column % 8 * 2, prob[0][first + i / 4][i % 4]);
        }
        __syncwarp();
        #pragma unroll 1
        for (int t = 0; t < 32; ++t) {
            const u32 own = scratch + t % 8 / 2 * 4;
            const u32 upper = load_shared(own + in_panel(fragment_row(), t / 8)) >> t % 2 * 16;
            const u32 lower = load_shared(own + in_panel(fragment_row() + 8, t / 8)) >> t % 2 * 16;
            const float p[2] = {unpack_low(upper), unpack_low(lower)};
            UNROLL for (int n = 0; n < kHeadDim / 8; ++n) {
                const u32 v = load_shared(v_tile + in_tile(first * 16 + t, n, kTileKv) +
                                          fragment_column() * 2);
                UNROLL for (int e = 0; e < 4; ++e) {
                    add_where_weighted_by(acc.o[0][n][e], p[e / 2],
                                          e % 2 ? unpack_high(v) : unpack_low(v));
                }
            }
        }
    }
}
