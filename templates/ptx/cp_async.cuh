//# part cp_async_16
// Starts copying `bytes` (0 or 16) bytes from global to shared memory; the rest of 16 is zeros.
DEVICE void cp_async_16(u32 to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
                 :: "r"(to), "l"(from), "r"(bytes) : "memory");
}
//# part cp_async_commit
DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
//# part cp_async_wait_all
// Waits for all copies of this thread.
DEVICE void cp_async_wait_all() { asm volatile("cp.async.wait_group 0;" ::: "memory"); }
//# part cp_async_wait_all_but_1
// Waits for this thread's copies except those of the newest group.
DEVICE void cp_async_wait_all_but_1() { asm volatile("cp.async.wait_group 1;" ::: "memory"); }
