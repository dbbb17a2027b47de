//# Rings of stages with a barrier each. Whoever fills stages and whoever empties them count steps
//# alike: step n has stage n % stages, and each lap of the ring is a phase of its barriers.
//# part wait_full
// Waits until the stage of this step is full.
DEVICE void wait_full(u32 full, int stages, u32 step) {
    mbarrier_wait(full + 8 * (step % stages), step / stages & 1);
}
//# part wait_free
// Waits until the stage of this step is free: at first all of them are.
DEVICE void wait_free(u32 free, int stages, u32 step) {
    mbarrier_wait(free + 8 * (step % stages), step / stages & 1 ^ 1);
}
//# part release
// Once for the warp, all of whose lanes have read what is in the stage.
DEVICE void release(u32 free, int stages, u32 step) {
    __syncwarp();
    if (thread_x() % 32 == 0) {
        mbarrier_arrive(free + 8 * (step % stages));
    }
}
