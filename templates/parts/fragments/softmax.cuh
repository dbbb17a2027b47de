//# part quad_max
// Maximum over the four lanes that share a row.
DEVICE float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
//# part quad_sum
// Sum over the four lanes that share a row.
DEVICE float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
//# part row_max
// rowmax S of row r of row tile m.
DEVICE float row_max(const Logits& logits, int m, int r) {
    float most = logits.s[m][0][2 * r];
    #pragma unroll
    for (int n = 0; n < kTileKv / 8; ++n) {
        most = fmaxf(most, fmaxf(logits.s[m][n][2 * r], logits.s[m][n][2 * r + 1]));
    }
    return quad_max(most);
}
//# part rescale
//% set e = "e" if plan.score else "2"
// m' = max(m, most${ " + reserve" if plan.dtype == "bf16" });  l ← l·${ e }^(m - m');  O ← O·${ e }^(m - m')
DEVICE void rescale(Accumulator& acc, const float (&most)[kRowTiles][2]) {
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            const float raised = fmaxf(acc.m[m][r], most[m][r]${ " + kReserve" if plan.dtype == "bf16" });
//% if plan.score
            const float factor = exp2_approx((acc.m[m][r] - raised) * kLog2E);
//% else
            const float factor = exp2_approx(acc.m[m][r] - raised);
//% endif
            acc.m[m][r] = raised;
            acc.l[m][r] *= factor;
            #pragma unroll
            for (int d = 0; d < kHeadDim / 8; ++d) {
                acc.o[m][d][2 * r] *= factor;
                acc.o[m][d][2 * r + 1] *= factor;
            }
        }
    }
}
//# part update_row_max
// Raises m where S has outgrown it. m may lag behind the maximum, since P has headroom and O / l is
// the same for every m: so O is seldom rescaled.
DEVICE void update_row_max(Accumulator& acc, const Logits& logits, const Params& p) {
    float most[kRowTiles][2];
    bool outgrown = false;
    #pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
        #pragma unroll
        for (int r = 0; r < 2; ++r) {
            most[m][r] = row_max(logits, m, r)${ " * p.scale_log2" if not plan.score };
            outgrown |= most[m][r] - acc.m[m][r] > kHeadroom${ " - kReserve" if plan.dtype == "bf16" };
        }
    }
    if (__any_sync(0xffffffffu, outgrown)) {
        rescale(acc, most);
    }
}
//# part exponentiate
// P = ${ "e" if plan.score else "2" }^(S - m) for eight columns of row tile m, and l ← l + rowsum P
DEVICE void exponentiate(Prob& prob, Accumulator& acc, const Logits& logits, int m, int n,
                         const Params& p) {
    #pragma unroll
    for (int r = 0; r < 2; ++r) {
        const float* s = &logits.s[m][n][2 * r];
//% if plan.score
        // Base 2 comes last: a multiple of a score by log2(e) need not be finite.
        const float low = exp2_approx((s[0] - acc.m[m][r]) * kLog2E);
        const float high = exp2_approx((s[1] - acc.m[m][r]) * kLog2E);
//% else
        const float low = exp2_approx(fmaf(s[0], p.scale_log2, -acc.m[m][r]));
        const float high = exp2_approx(fmaf(s[1], p.scale_log2, -acc.m[m][r]));
//% endif
        acc.l[m][r] += low + high;
        prob.p[m][n / 2][n % 2 * 2 + r] = pack_pair(low, high);
    }
}
