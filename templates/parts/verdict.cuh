//# part kPass
constexpr u32 kPass = 1;     // of a verdict: a token pair passes
//# part kFail
constexpr u32 kFail = 2;     // of a verdict: a token pair fails
//# part kMixed
constexpr u32 kMixed = 3;    // both, or not known
//# part decided
static __device__ __forceinline__ u32 decided(bool always, bool never) {
    return always ? kPass : never ? kFail : kMixed;
}
//# part negated
static __device__ __forceinline__ u32 negated(u32 verdict) {
    return verdict >> 1 | (verdict << 1 & kFail);
}
//# part all_of
static __device__ __forceinline__ u32 all_of(u32 a, u32 b) {
    return (a & b & kPass) | ((a | b) & kFail);
}
//# part any_of
static __device__ __forceinline__ u32 any_of(u32 a, u32 b) {
    return ((a | b) & kPass) | (a & b & kFail);
}
