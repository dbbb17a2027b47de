//# part arrives_last
// Whether this CTA is the last of `ctas` that arrive at a counter; all threads of it call this.
// What the others wrote before they arrived is then there to read. The counter is 0 before the
// first and after the last of them.
DEVICE bool arrives_last(u32* counter, u32 ctas) {
    __shared__ u32 before;
    __syncthreads();
    if (threadIdx.x == 0) {
        before = count_arrival(counter, ctas - 1);
    }
    __syncthreads();
    return before == ctas - 1;
}
