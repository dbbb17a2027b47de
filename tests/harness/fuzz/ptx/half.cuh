// Names of types, and the tensors' types as f32.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

__device__ __forceinline__ float minus_infinity() { return __uint_as_float(0xff800000u); }

__device__ __forceinline__ float value(u16 bits, int is_bf16) {
    if (is_bf16) {
        return __uint_as_float((u32)bits << 16);
    }
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

// To the nearest of the tensors' type, ties to even.
__device__ __forceinline__ float rounded(float x, int is_bf16) {
    u16 bits;
    if (is_bf16) {
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    } else {
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    }
    return value(bits, is_bf16);
}
