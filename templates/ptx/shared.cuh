//# part shared_address
// The address that shared-memory instructions take.
DEVICE u32 shared_address(const void* pointer) { return (u32)__cvta_generic_to_shared(pointer); }
//# part store_shared
DEVICE void store_shared(u32 to, u32 value) {
    asm volatile("st.shared.b32 [%0], %1;" :: "r"(to), "r"(value) : "memory");
}
//# part load_shared
DEVICE u32 load_shared(u32 from) {
    u32 value;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(value) : "r"(from) : "memory");
    return value;
}
//# part store_shared_16
DEVICE void store_shared_16(u32 to, uint4 v) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};"
                 :: "r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
//# part load_shared_16
DEVICE uint4 load_shared_16(u32 from) {
    uint4 v;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(from) : "memory");
    return v;
}
//# part store_shared_8
DEVICE void store_shared_8(u32 to, i64 value) {
    asm volatile("st.shared.b64 [%0], %1;" :: "r"(to), "l"(value) : "memory");
}
//# part load_shared_8
DEVICE i64 load_shared_8(u32 from) {
    i64 value;
    asm volatile("ld.shared.b64 %0, [%1];" : "=l"(value) : "r"(from) : "memory");
    return value;
}
