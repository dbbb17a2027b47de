//# part count_arrival
// Counts one more, goes on with 0 after `last`, and gives the number before. What this thread wrote
// or saw others write is seen by whoever counts later, if they share that with their threads.
DEVICE u32 count_arrival(u32* counter, u32 last) {
    u32 before;
    asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
                 : "=r"(before) : "l"(counter), "r"(last) : "memory");
    return before;
}
