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
//# part numbers of accumulators
//% set wide = 16 if n < 100 else 12
//% for i in range(0, n, wide)
                 "${ ", " if i }%${ range(i, [i + wide, n] | min) | join(", %") }"
//% endfor
//# part accumulators
//% for i in range(0, n, 32)
                 ${ "," if i else ":" } EIGHT(d, ${ range(i, [i + 32, n] | min, 8) | join("), EIGHT(d, ") })
//% endfor
//# part product of shared operands
//% set n = columns // 2
// D += A Bᵀ on a 64×${ columns } tile, 16 deep, or D = A Bᵀ; rows of both lie along k in shared memory.
DEVICE void wgmma_shared_${ columns }(float* d, u64 a, u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %${ n + 2 }, 0; "
                 "wgmma.mma_async.sync.aligned.m64n${ columns }k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% include "numbers of accumulators"
                 "}, %${ n }, %${ n + 1 }, p, 1, 1, 0, 0; }"
//% include "accumulators"
                 : "l"(a), "l"(b), "r"((u32)accumulate));
}
//# part wgmma_shared_64
//% set columns = 64
//% include "product of shared operands"
//# part wgmma_shared_96
//% set columns = 96
//% include "product of shared operands"
//# part wgmma_shared_128
//% set columns = 128
//% include "product of shared operands"
//# part wgmma_shared_192
//% set columns = 192
//% include "product of shared operands"
//# part wgmma_shared_256
//% set columns = 256
//% include "product of shared operands"
//# part wgmma_registers
// D += A Bᵀ on a 64×${ plan.tile_kv } tile, 16 deep, or D = A Bᵀ; A in registers, rows of B along k in shared
// memory.
//% set n = plan.tile_kv // 2
DEVICE void wgmma_registers(float* d, const u32 (&a)[4], u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %${ n + 5 }, 0; "
                 "wgmma.mma_async.sync.aligned.m64n${ 2 * n }k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% include "numbers of accumulators"
                 "}, {%${ range(n, n + 4) | join(", %") }}, %${ n + 4 }, p, 1, 1, 0; }"
//% include "accumulators"
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((u32)accumulate));
}
//# part wgmma_registers_across
// D += A B on a 64×${ plan.head_dim } tile, 16 deep, or D = A B; A in registers, rows of B along n in shared
// memory.
//% set n = plan.head_dim // 2
DEVICE void wgmma_registers_across(float* d, const u32 (&a)[4], u64 b, bool accumulate) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %${ n + 5 }, 0; "
                 "wgmma.mma_async.sync.aligned.m64n${ 2 * n }k16.f32.${ plan.dtype }.${ plan.dtype } {"
//% include "numbers of accumulators"
                 "}, {%${ range(n, n + 4) | join(", %") }}, %${ n + 4 }, p, 1, 1, 1; }"
//% include "accumulators"
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((u32)accumulate));
}
