//# part quad_sum
// Sum over the four lanes that share a row.
DEVICE float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
//# part row_max
// rowmax S of row `i` of this thread, which four lanes share.
DEVICE float row_max(const Logits& logits, int i) {
    float most = logits[i / 2][0][i % 2 * 2];
    UNROLL for (int n = 0; n < kTileKv / 8; ++n) {
        const float* s = &logits[i / 2][n][i % 2 * 2];
        most = fmaxf(most, fmaxf(s[0], s[1]));
    }
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    return fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
}
//# part rescale
//% set e = "e" if plan.score else "2"
// m' = max(m, most${ " + reserve" if plan.dtype == "bf16" });  l ← l·${ e }^(m - m');  O ← O·${ e }^(m - m')
DEVICE void rescale(Accumulator& acc, const float (&most)[kRows]) {
    UNROLL for (int i = 0; i < kRows; ++i) {
        const float raised = fmaxf(acc.m[i], most[i]${ " + kReserve" if plan.dtype == "bf16" });
//% if plan.score
        const float factor = exp2_approx((acc.m[i] - raised) * kLog2E);
//% else
        const float factor = exp2_approx(acc.m[i] - raised);
//% endif
        acc.m[i] = raised;
        acc.l[i] *= factor;
        UNROLL for (int d = 0; d < kHeadDim / 8; ++d) {
            float* o = &acc.o[i / 2][d][i % 2 * 2];
            o[0] *= factor;
            o[1] *= factor;
        }
    }
}
//# part update_row_max
// Raises m where S has outgrown it. m may lag behind the maximum, since P has headroom and O / l is
// the same for every m: so O is seldom rescaled.
DEVICE void update_row_max(Accumulator& acc, const Logits& logits, const Params& p) {
    float most[kRows];
    bool outgrown = false;
    UNROLL for (int i = 0; i < kRows; ++i) {
        most[i] = row_max(logits, i)${ " * p.scale_log2" if not plan.score };
        outgrown |= most[i] - acc.m[i] > kHeadroom${ " - kReserve" if plan.dtype == "bf16" };
    }
    if (__any_sync(0xffffffffu, outgrown)) {
        rescale(acc, most);
    }
}
//# part exponentiate
// P = ${ "e" if plan.score else "2" }^(S - m) for eight columns of row tile m, and l ← l + rowsum P
DEVICE void exponentiate(Prob& prob, Accumulator& acc, const Logits& logits, int m, int n,
                         const Params& p) {
    UNROLL for (int r = 0; r < 2; ++r) {
        const int i = m * 2 + r;
        const float* s = &logits[m][n][r * 2];
//% if plan.score
        // Base 2 comes last: a multiple of a score by log2(e) need not be finite.
        const float low = exp2_approx((s[0] - acc.m[i]) * kLog2E);
        const float high = exp2_approx((s[1] - acc.m[i]) * kLog2E);
//% else
        const float low = exp2_approx(fmaf(s[0], p.scale_log2, -acc.m[i]));
        const float high = exp2_approx(fmaf(s[1], p.scale_log2, -acc.m[i]));
//% endif
        acc.l[i] += low + high;
        prob[m][n / 2][n % 2 * 2 + r] = pack_pair(low, high);
    }
}
