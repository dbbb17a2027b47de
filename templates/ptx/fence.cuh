//# part proxy_fence
// Lets bulk copies and wgmma see what this thread has written to shared memory.
DEVICE void proxy_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
