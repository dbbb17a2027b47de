//# Products of a warpgroup, which run beside it. Accumulators have the fragment of mma.m16n8: rows
//# lane / 4 and + 8 of a warp's sixteen, two columns of every eight.
//# part wgmma_fence
// Orders what was done to accumulators and operands in registers before the products that follow.
DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
//# part wgmma_commit
// The products since the last commit are a group.
DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
//# part wgmma_wait
// Waits for all products of this warpgroup.
DEVICE void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }
//# part wgmma_wait_but_1
// Waits for the products of this warpgroup except those of the newest group.
DEVICE void wgmma_wait_but_1() { asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory"); }
//# part hold
// Keeps the compiler from moving uses of an accumulator above a wait.
DEVICE void hold(float& x) { asm volatile("" : "+f"(x) :: "memory"); }
//# part wgmma_shared_64
// D += A Bᵀ on a 64×64 tile, 16 deep, or D = A Bᵀ; rows of both lie along k in shared memory.
DEVICE void wgmma_shared_64(float* d, u64 a, u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0; "
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% for n in range(0, 32, 8)
                 "${ ", " if n }%${ range(n, n + 8) | join(", %") }"
//% endfor
                 "}, %32, %33, p, 1, 1, 0, 0; }"
//% for n in range(0, 32, 4)
                 ${ "," if n else ":" } "+f"(d[${ n }]), "+f"(d[${ n + 1 }]), "+f"(d[${ n + 2 }]), "+f"(d[${ n + 3 }])
//% endfor
                 : "l"(a), "l"(b), "r"((u32)accumulate));
}
//# part wgmma_shared_96
// D += A Bᵀ on a 64×96 tile, 16 deep, or D = A Bᵀ; rows of both lie along k in shared memory.
DEVICE void wgmma_shared_96(float* d, u64 a, u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %50, 0; "
                 "wgmma.mma_async.sync.aligned.m64n96k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% for n in range(0, 48, 8)
                 "${ ", " if n }%${ range(n, n + 8) | join(", %") }"
//% endfor
                 "}, %48, %49, p, 1, 1, 0, 0; }"
//% for n in range(0, 48, 4)
                 ${ "," if n else ":" } "+f"(d[${ n }]), "+f"(d[${ n + 1 }]), "+f"(d[${ n + 2 }]), "+f"(d[${ n + 3 }])
//% endfor
                 : "l"(a), "l"(b), "r"((u32)accumulate));
}
//# part wgmma_shared_128
// D += A Bᵀ on a 64×128 tile, 16 deep, or D = A Bᵀ; rows of both lie along k in shared memory.
DEVICE void wgmma_shared_128(float* d, u64 a, u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% for n in range(0, 64, 8)
                 "${ ", " if n }%${ range(n, n + 8) | join(", %") }"
//% endfor
                 "}, %64, %65, p, 1, 1, 0, 0; }"
//% for n in range(0, 64, 4)
                 ${ "," if n else ":" } "+f"(d[${ n }]), "+f"(d[${ n + 1 }]), "+f"(d[${ n + 2 }]), "+f"(d[${ n + 3 }])
//% endfor
                 : "l"(a), "l"(b), "r"((u32)accumulate));
}
//# part wgmma_shared_192
// D += A Bᵀ on a 64×192 tile, 16 deep, or D = A Bᵀ; rows of both lie along k in shared memory.
DEVICE void wgmma_shared_192(float* d, u64 a, u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %98, 0; "
                 "wgmma.mma_async.sync.aligned.m64n192k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% for n in range(0, 96, 8)
                 "${ ", " if n }%${ range(n, n + 8) | join(", %") }"
//% endfor
                 "}, %96, %97, p, 1, 1, 0, 0; }"
//% for n in range(0, 96, 4)
                 ${ "," if n else ":" } "+f"(d[${ n }]), "+f"(d[${ n + 1 }]), "+f"(d[${ n + 2 }]), "+f"(d[${ n + 3 }])
//% endfor
                 : "l"(a), "l"(b), "r"((u32)accumulate));
}
//# part wgmma_shared_256
// D += A Bᵀ on a 64×256 tile, 16 deep, or D = A Bᵀ; rows of both lie along k in shared memory.
DEVICE void wgmma_shared_256(float* d, u64 a, u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %130, 0; "
                 "wgmma.mma_async.sync.aligned.m64n256k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% for n in range(0, 128, 8)
                 "${ ", " if n }%${ range(n, n + 8) | join(", %") }"
//% endfor
                 "}, %128, %129, p, 1, 1, 0, 0; }"
//% for n in range(0, 128, 4)
                 ${ "," if n else ":" } "+f"(d[${ n }]), "+f"(d[${ n + 1 }]), "+f"(d[${ n + 2 }]), "+f"(d[${ n + 3 }])
//% endfor
                 : "l"(a), "l"(b), "r"((u32)accumulate));
}
//# part wgmma_registers
// D += A Bᵀ on a 64×${ plan.tile_kv } tile, 16 deep, or D = A Bᵀ; A in registers, rows of B along k in shared
// memory.
//% set n = plan.tile_kv // 2
DEVICE void wgmma_registers(float* d, const u32 (&a)[4], u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %${ n + 5 }, 0; "
                 "wgmma.mma_async.sync.aligned.m64n${ 2 * n }k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% for i in range(0, n, 8)
                 "${ ", " if i }%${ range(i, i + 8) | join(", %") }"
//% endfor
                 "}, {%${ range(n, n + 4) | join(", %") }}, %${ n + 4 }, p, 1, 1, 0; }"
//% for i in range(0, n, 4)
                 ${ "," if i else ":" } "+f"(d[${ i }]), "+f"(d[${ i + 1 }]), "+f"(d[${ i + 2 }]), "+f"(d[${ i + 3 }])
//% endfor
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((u32)accumulate));
}
//# part wgmma_registers_across
// D += A B on a 64×${ plan.head_dim } tile, 16 deep, or D = A B; A in registers, rows of B along n in shared
// memory.
//% set n = plan.head_dim // 2
DEVICE void wgmma_registers_across(float* d, const u32 (&a)[4], u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %${ n + 5 }, 0; "
                 "wgmma.mma_async.sync.aligned.m64n${ 2 * n }k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% for i in range(0, n, 8)
                 "${ ", " if i }%${ range(i, i + 8) | join(", %") }"
//% endfor
                 "}, {%${ range(n, n + 4) | join(", %") }}, %${ n + 4 }, p, 1, 1, 1; }"
//% for i in range(0, n, 4)
                 ${ "," if i else ":" } "+f"(d[${ i }]), "+f"(d[${ i + 1 }]), "+f"(d[${ i + 2 }]), "+f"(d[${ i + 3 }])
//% endfor
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((u32)accumulate));
}
