//# part kExponent
constexpr u32 kExponent = ${ "0x7f80" if plan.dtype == "bf16" else "0x7c00" };    // all ones: +∞
//# part kOne
constexpr u32 kOne = ${ "0x3f80" if plan.dtype == "bf16" else "0x3c00" };
//# part kNotANumber
constexpr u32 kNotANumber = 0x7fff;    // stands for every NaN
//# part is_special
// Whether the lower half of a pair is infinite or NaN.
DEVICE bool is_special(u32 half) { return (half & kExponent) == kExponent; }
//# part holds_special
DEVICE bool holds_special(u32 pair) { return is_special(pair) || is_special(pair >> 16); }
//# part without_specials
DEVICE u32 without_specials(u32 pair) {
    const u32 low = is_special(pair) ? 0 : pair & 0xffffu;
    const u32 high = is_special(pair >> 16) ? 0 : pair & 0xffff0000u;
    return low | high;
}
//# part is_value
// Whether the lower half of a pair is `value`: one of ±∞ or kNotANumber.
DEVICE bool is_value(u32 half, u32 value) {
    return (value == kNotANumber ? (half & 0x7fffu) > kExponent : (half & 0xffffu) == value);
}
//# part ones_at
DEVICE u32 ones_at(u32 pair, u32 value) {
    return (is_value(pair, value) ? kOne : 0) | (is_value(pair >> 16, value) ? kOne << 16 : 0);
}
//# part has_specials
// Whether a kv tile holds an infinite or NaN element; the same answer in all lanes of the warp.
DEVICE bool has_specials(u32 kv_tile) {
    bool found = false;
    for (int at = thread_x() % 32 * 16; at < kTileKv * kHeadDim * 2; at += 32 * 16) {
        const uint4 v = load_shared_16(kv_tile + at);
        found |= holds_special(v.x) || holds_special(v.y);
        found |= holds_special(v.z) || holds_special(v.w);
    }
    return __any_sync(0xffffffffu, found);
}
//# part add_where_weighted
// o += value wherever the row gives weight to a row of V that `ones` marks.
DEVICE void add_where_weighted(float (&o)[4], const u32 (&prob)[4], u32 ones_0, u32 ones_1,
                               float value) {
    float weight[4] = {};
    mma_16816(weight, prob, ones_0, ones_1);
    UNROLL for (int e = 0; e < 4; ++e) {
        o[e] = weight[e] > 0.0f ? o[e] + value : o[e];
    }
}
//# part multiply_pv_with_specials
// O += P V where V holds infinities or NaN. The products take V without them, and each is then
// added to the rows that give weight to it: 0 · ∞ must not reach a row whose mask refuses the pair.
DEVICE void multiply_pv_with_specials(Accumulator& acc, const Prob& prob, u32 v_tile,
                                      const Lane& lane) {
    UNROLL for (int d = 0; d < kHeadDim / 8; ++d) {
        UNROLL for (int k = 0; k < kTileKv / 16; ++k) {
            u32 both[4];
            ldmatrix_x4_transposed(both, operand_step(v_tile + lane.by_rows, d / 2, kTileKv)
                                             + k * 16 * kPanelRow);
            const u32 b0 = both[d % 2 * 2];
            const u32 b1 = both[d % 2 * 2 + 1];
            UNROLL for (int m = 0; m < kRowTiles; ++m) {
                mma_16816(acc.o[m][d], prob[m][k], without_specials(b0), without_specials(b1));
            }
            // Seldom run: a loop keeps it small, since ptxas takes long over it.
            #pragma unroll 1
            for (int special = 0; special < 3; ++special) {
                const u32 value = special == 0   ? kExponent
                                  : special == 1 ? kExponent | 0x8000u
                                                 : kNotANumber;
                UNROLL for (int m = 0; m < kRowTiles; ++m) {
                    add_where_weighted(acc.o[m][d], prob[m][k], ones_at(b0, value),
                                       ones_at(b1, value), unpack_low(value));
                }
            }
        }
    }
}
