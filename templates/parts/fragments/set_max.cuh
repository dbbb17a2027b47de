//# Softmax whose P stays in the place of S until the products of the tile before it have read
//# theirs.
//# part exponentiate_in_place
// P = ${ "e" if plan.score else "2" }^(S - m) in the place of S, and its sums over the columns of this thread.
DEVICE void exponentiate_in_place(Logits& logits, float (&sums)[kRows], const Accumulator& acc,
                                  const Params& p) {
    UNROLL for (int i = 0; i < kRows; ++i) {
        // Two sums, so that an addition need not wait for the one before it.
        float even = 0.0f;
        float odd = 0.0f;
        UNROLL for (int n = 0; n < kTileKv / 8; ++n) {
            float* s = &logits[i / 2][n][i % 2 * 2];
//% if plan.score
            // Base 2 comes last: a multiple of a score by log2(e) need not be finite.
            s[0] = exp2_approx((s[0] - acc.m[i]) * kLog2E);
            s[1] = exp2_approx((s[1] - acc.m[i]) * kLog2E);
//% else
            s[0] = exp2_approx(fmaf(s[0], p.scale_log2, -acc.m[i]));
            s[1] = exp2_approx(fmaf(s[1], p.scale_log2, -acc.m[i]));
//% endif
            even += s[0];
            odd += s[1];
        }
        sums[i] = even + odd;
    }
}
//# part round_prob
// P as an operand, once the products that read the last one are over.
DEVICE void round_prob(Prob& prob, Logits& logits) {
    UNROLL for (int at = 0; at < kLogits / 2; ++at) {
        prob[at / (kTileKv / 4)][at / 4 % (kTileKv / 16)][at % 4] =
            pack_pair(logit(logits, 2 * at), logit(logits, 2 * at + 1));
    }
}
//# part row_max_of
// The largest of the first `columns` of row `i` of this thread, which four lanes share.
DEVICE float row_max_of(const Logits& logits, int i, int columns) {
    float most = logits[i / 2][0][i % 2 * 2];
    UNROLL for (int n = 0; n < columns / 8; ++n) {
        const float* s = &logits[i / 2][n][i % 2 * 2];
        most = fmaxf(most, fmaxf(s[0], s[1]));
    }
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    return fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
}
//# part set_row_max
// Sets m by the first columns alone: a lower bound of the row's maximum, so no row underflows.
DEVICE void set_row_max(Accumulator& acc, const Logits& logits, const Params& p) {
    UNROLL for (int i = 0; i < kRows; ++i) {
        const float most = row_max_of(logits, i, kFirstColumns);
        acc.m[i] = fmaxf(most${ " * p.scale_log2" if not plan.score } + kReserve, kLeast);
    }
}
//# part row_maxima
// rowmax S${ " · scale, in powers of 2" if not plan.score }
DEVICE void row_maxima(float (&most)[kRows], const Logits& logits, const Params& p) {
    UNROLL for (int i = 0; i < kRows; ++i) {
        most[i] = row_max_of(logits, i, kTileKv)${ " * p.scale_log2" if not plan.score };
    }
}
//# part has_outgrown
//% if plan.sets_max
// Whether a sum of P is too large, infinite or NaN; the same answer in all lanes of the warp.
DEVICE bool has_outgrown(const float (&sums)[kRows]) {
    bool outgrown = false;
    UNROLL for (int i = 0; i < kRows; ++i) {
        outgrown |= !(sums[i] < kMostSum);
    }
    return __any_sync(0xffffffffu, outgrown);
}
//% else
// Whether a maximum has outgrown m, which may lag behind: P has headroom, and O / l is the same for
// every m. The same answer in all lanes of the warp.
DEVICE bool has_outgrown(const float (&most)[kRows], const Accumulator& acc) {
    bool outgrown = false;
    UNROLL for (int i = 0; i < kRows; ++i) {
        outgrown |= most[i] - acc.m[i] > kHeadroom;
    }
    return __any_sync(0xffffffffu, outgrown);
}
//% endif
