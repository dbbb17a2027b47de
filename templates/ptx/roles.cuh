//# part elect_one
// Whether this lane is the one of its warp, which is converged, that acts for all.
DEVICE bool elect_one() {
    u32 elected;
    asm volatile("{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 %0, 1, 0, p; }"
                 : "=r"(elected));
    return elected != 0;
}
//# part give_registers
// Gives registers of this warpgroup back to the CTA's pool.
DEVICE void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(kProducerRegisters));
}
//# part take_registers
// Takes registers for this warpgroup, when the pool has as many.
DEVICE void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(kConsumerRegisters));
}
//# part barrier_sync
// All threads of the warps that use barrier `barrier`; 0 is that of __syncthreads.
DEVICE void barrier_sync(int barrier, int threads) {
    asm volatile("bar.sync %0, %1;" :: "r"(barrier), "r"(threads) : "memory");
}
//# part barrier_arrive
// The same without waiting.
DEVICE void barrier_arrive(int barrier, int threads) {
    asm volatile("bar.arrive %0, %1;" :: "r"(barrier), "r"(threads) : "memory");
}
//# part barrier_any
// The same as barrier_sync, and whether `x` holds for one of the threads.
DEVICE bool barrier_any(int barrier, int threads, bool x) {
    u32 any;
    asm volatile("{ .reg .pred p, q; setp.ne.b32 p, %1, 0; bar.red.or.pred q, %2, %3, p; "
                 "selp.u32 %0, 1, 0, q; }"
                 : "=r"(any) : "r"((u32)x), "r"(barrier), "r"(threads) : "memory");
    return any != 0;
}
