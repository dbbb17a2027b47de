// What nvcc writes for CUDA as people write it: functions that stay functions, variables of the device, printf, assert,
// tables of branches, local arrays, atomics of shared memory. README.md says how nvcc_sm_80.ptx was made.
#include <cassert>
#include <cstdio>

struct Pair {
    int sum;
    float product;
    long long wide;
};

__device__ int squares[5] = {0, 1, 4, 9, 16};
__device__ const int *middle = &squares[2];
__device__ unsigned visits;
__device__ const char greeting[] = "kernel";
__constant__ float weights[4] = {0.5f, 1.0f, 2.0f, 4.0f};

__device__ __noinline__ Pair combine(Pair a, int b) {
    return {a.sum + b, a.product * (float)b, a.wide << b};
}

__device__ __noinline__ void twice(int *x, int times) {
    for (int i = 0; i < times; i++)
        *x *= 2;
}

__device__ __noinline__ int outer(int x) {
    int y = x + 1;
    twice(&y, x & 3);
    return y;
}

// 0: combine of (t, 2, 1) and t & 7; 1: outer(t) for odd threads, -1 otherwise.
extern "C" __global__ void calls(int *out) {
    int t = threadIdx.x;
    Pair p = combine({t, 2.0f, 1}, t & 7);
    int y = -1;
    if (t & 1)
        y = outer(t);
    out[2 * t] = p.sum + (int)p.product + (int)p.wide;
    out[2 * t + 1] = y;
}

extern "C" __global__ void globals(int *out, float *weighted) {
    int t = threadIdx.x;
    out[t] = squares[t % 5] + middle[t % 3];
    weighted[t] = weights[t & 3] * (float)t;
    atomicAdd(&visits, 1u);
}

extern "C" __global__ void prints(int n) {
    int t = threadIdx.x;
    if (t < n)
        printf("%s: thread %2d of %u, %.2f %lld %c%%\n", greeting, t, blockDim.x, 0.25 * t, -1LL << t, 'a' + t);
}

extern "C" __global__ void asserts(const int *x) {
    assert(x[threadIdx.x] < 5);
}

__device__ __noinline__ int choose(int which, int x) {
    switch (which) {
    case 0: return x + 3;
    case 1: return x * x;
    case 2: return x ^ 0x55;
    case 3: return __popc(x);
    case 4: return x / 3;
    case 5: return -x;
    case 6: return x << 4;
    case 7: return __brev(x);
    case 8: return x % 7;
    default: return 1000;
    }
}

extern "C" __global__ void switches(int *out) {
    out[threadIdx.x] = choose(threadIdx.x % 10, threadIdx.x);
}

extern "C" __global__ void local_arrays(int *out, int n) {
    int stack[16];
    for (int i = 0; i < 16; i++)
        stack[i] = i * threadIdx.x;
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += stack[(i * 7 + threadIdx.x) & 15];
    out[threadIdx.x] = sum;
}

__device__ __noinline__ int warp_sum(int x) {
    for (int step = 16; step; step >>= 1)
        x += __shfl_xor_sync(~0u, x, step);
    return x;
}

// Of 256 numbers: 0: their sum, 1: how many are odd, 2: the greatest, 3 to 10: how many have each value of the low three bits.
extern "C" __global__ void reduce(const int *x, int *out) {
    __shared__ int parts[8];
    __shared__ int counts[8];
    int t = threadIdx.x, v = x[t];
    if (t < 8)
        counts[t] = 0;
    int sum = warp_sum(v);
    if (t % 32 == 0)
        parts[t / 32] = sum;
    __syncthreads();
    atomicAdd(&counts[v & 7], 1);
    int odd = __syncthreads_count(v & 1);
    int top = __reduce_max_sync(~0u, v);
    if (t % 32 == 0)
        atomicMax(&out[2], top);
    if (t < 32) {
        int total = warp_sum(t < 8 ? parts[t] : 0);
        if (t == 0)
            out[0] = total, out[1] = odd;
    }
    __syncthreads();
    if (t < 8)
        out[3 + t] = counts[t];
}

__device__ __noinline__ int fibonacci(int n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

extern "C" __global__ void recursion(int *out) {
    out[threadIdx.x] = fibonacci(threadIdx.x);
}

__device__ __noinline__ int one(int x) { return x + 1; }
__device__ __noinline__ int other(int x) { return x - 1; }

extern "C" __global__ void pointers(int *out) {
    int (*f)(int) = threadIdx.x & 1 ? one : other;
    out[threadIdx.x] = f(threadIdx.x);
}
