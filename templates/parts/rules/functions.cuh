//# part negative_infinity
// A function, because NVRTC before 12.3 takes no way to write such a constant.
DEVICE float negative_infinity() { return __uint_as_float(0xff800000u); }
//# part wrapping_add
// Integers of the language have 32 bits and wrap; in C only unsigned ones do.
DEVICE int wrapping_add(int a, int b) { return (int)((u32)a + (u32)b); }
//# part wrapping_sub
DEVICE int wrapping_sub(int a, int b) { return (int)((u32)a - (u32)b); }
//# part wrapping_mul
DEVICE int wrapping_mul(int a, int b) { return (int)((u32)a * (u32)b); }
//# part wrapping_neg
DEVICE int wrapping_neg(int a) { return (int)(0u - (u32)a); }
//# part wrapping_abs
DEVICE int wrapping_abs(int a) { return a < 0 ? wrapping_neg(a) : a; }
//# part wrapping_div
// a / b towards zero; 0 for b = 0.
DEVICE int wrapping_div(int a, int b) { return b == 0 ? 0 : b == -1 ? wrapping_neg(a) : a / b; }
//# part wrapping_rem
// a - (a / b) * b, with the sign of a; 0 for b = 0.
DEVICE int wrapping_rem(int a, int b) { return b == 0 || b == -1 ? 0 : a % b; }
//# part bit_length
// Bits needed to write x; 0 for x <= 0.
DEVICE int bit_length(int x) { return x <= 0 ? 0 : 32 - __clz(x); }
//# part divide_by_normal
// a / b to 3 ulp, for b = 0 and sizes from 2^-123 on. The eighth keeps the reciprocal of the
// largest b normal. Where b is the same for all pairs, a product is all that is left in the loop.
DEVICE float divide_by_normal(float a, float b) { return a * (0.125f * rcp_approx(0.125f * b)); }
//# part tanh_by_exp2
// tanh x = 1 - 2 / (e^2x + 1): one ex2, one reciprocal, exact at ±∞. Near 0, where that cancels,
// the head of its series. The relative error is below 4e-6.
DEVICE float tanh_by_exp2(float x) {
    const float closed = 1.0f - 2.0f * rcp_approx(exp2_approx(x * (2.0f * kLog2E)) + 1.0f);
    const float square = x * x;
    const float series = fmaf(fmaf(square, 0.13333334f, -0.33333334f), square * x, x);
    return fabsf(x) < 0.18f ? series : closed;
}
