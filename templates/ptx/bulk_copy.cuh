//# Copies of boxes of tensors of four axes. Elements outside of a tensor come as zeros, and are not
//# stored.
//# part tma_load
// Starts copying a box of a tensor to shared memory; `barrier` hears of its bytes.
DEVICE void tma_load(u32 to, const TensorMap* map, u32 barrier, int x, int y, int z, int w) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4, %5, %6}], [%2];"
                 :: "r"(to), "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
}
//# part tma_store
// Starts copying a box back.
DEVICE void tma_store(const TensorMap* map, u32 from, int x, int y, int z, int w) {
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group "
                 "[%0, {%2, %3, %4, %5}], [%1];"
                 :: "l"(map), "r"(from), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
}
//# part prefetch_tensor_map
DEVICE void prefetch_tensor_map(const TensorMap* map) {
    asm volatile("prefetch.tensormap [%0];" :: "l"(map) : "memory");
}
//# part bulk_commit
// The stores of this thread since the last commit are a group.
DEVICE void bulk_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
//# part bulk_wait_read
// Waits until the stores of this thread have read their shared memory.
DEVICE void bulk_wait_read() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
//# part bulk_wait
// Waits until the stores of this thread are done.
DEVICE void bulk_wait() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }
