//# Barriers in shared memory. A phase ends when all arrivals have come, and all bytes that were
//# announced; whoever waits names the parity of the phase.
//# part mbarrier_init
DEVICE void mbarrier_init(u32 barrier, u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;"
                 :: "r"(barrier), "r"(arrivals) : "memory");
}
//# part mbarrier_init_fence
// Makes the barriers that this thread has made known to the copies.
DEVICE void mbarrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
//# part mbarrier_expect
// Arrives, and says how many bytes will.
DEVICE void mbarrier_expect(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :: "r"(barrier), "r"(bytes) : "memory");
}
//# part mbarrier_arrive
DEVICE void mbarrier_arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(barrier) : "memory");
}
//# part mbarrier_try_wait
// Whether the phase of this parity is over, after a time that the hardware chooses.
DEVICE bool mbarrier_try_wait(u32 barrier, u32 parity) {
    u32 over;
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
                 "selp.u32 %0, 1, 0, p; }"
                 : "=r"(over) : "r"(barrier), "r"(parity) : "memory");
    return over != 0;
}
//# part mbarrier_wait
DEVICE void mbarrier_wait(u32 barrier, u32 parity) {
    while (!mbarrier_try_wait(barrier, parity)) {
    }
}
