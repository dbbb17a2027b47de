//# part DEVICE
// Every function here is one of these: a name for it, so that signatures fit a line.
#define DEVICE static __device__ __forceinline__
//# part UNROLL
// A loop with constant bounds, written out: indices of arrays must be constants for registers.
#define UNROLL _Pragma("unroll")
//# part EIGHT
// Eight accumulators of an instruction, from d[n] on.
#define EIGHT(d, n) \
    "+f"(d[n]), "+f"(d[n + 1]), "+f"(d[n + 2]), "+f"(d[n + 3]), \
    "+f"(d[n + 4]), "+f"(d[n + 5]), "+f"(d[n + 6]), "+f"(d[n + 7])
//# part u8
typedef unsigned char u8;
//# part u16
typedef unsigned short u16;
//# part u32
typedef unsigned int u32;
//# part i64
typedef long long i64;
//# part u64
typedef unsigned long long u64;
//# part TensorMap
// What the tensor memory accelerator knows of a tensor; made by the driver, read in the parameters.
struct alignas(64) TensorMap {
    u64 words[16];
};
