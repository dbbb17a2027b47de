//# part pack_pair
// Two f32 rounded to nearest even; `low` in the lower half.
DEVICE u32 pack_pair(float low, float high) {
    u32 pair;
    asm("cvt.rn.${ plan.dtype }x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
//# part unpack_low
DEVICE float unpack_low(u32 pair) {
//% if plan.dtype == "bf16"
    return __uint_as_float(pair << 16);
//% else
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"((u16)pair));
    return value;
//% endif
}
//# part unpack_high
DEVICE float unpack_high(u32 pair) {
//% if plan.dtype == "bf16"
    return __uint_as_float(pair & 0xffff0000u);
//% else
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"((u16)(pair >> 16)));
    return value;
//% endif
}
