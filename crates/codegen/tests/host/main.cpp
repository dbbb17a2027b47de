// Runs generated symbols kernels on the host: CUDA's words become plain C++, and a warp runs lane by lane, the lowest
// lane last. Control flow is the same for all lanes of a warp, so the n-th vote of each lane belongs to the n-th word, and
// lane 0, the only one that stores, finds its words complete.
//
// Reads launches from standard input until it ends and writes the returned buffers of each to standard output:
//     u32 kernel, grid x, y, z, threads, bytes of Params; Params;
//     u32 buffers; for each: u32 offset of its address in Params, u32 returned, u64 bytes; content.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

struct Index {
    unsigned x, y, z;
};
static Index blockIdx, threadIdx;

static std::vector<uint32_t> words;
static size_t votes;

static inline uint32_t __ballot_sync(uint32_t, bool vote) {
    if (votes == words.size()) {
        words.push_back(0);
    }
    return words[votes++] |= uint32_t(vote) << threadIdx.x % 32;
}

static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(x); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline int to_int(float x) {
    return x != x ? 0 : x >= 2147483648.0f ? INT32_MAX : x < -2147483648.0f ? INT32_MIN : (int)x;
}
static inline int __float2int_rd(float x) { return to_int(floorf(x)); }
static inline int __float2int_ru(float x) { return to_int(ceilf(x)); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __int_as_float(int x) {
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}
static inline int __float_as_int(float x) {
    int n;
    memcpy(&n, &x, sizeof n);
    return n;
}
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline long long min(long long a, long long b) { return a < b ? a : b; }
static inline long long max(long long a, long long b) { return a > b ? a : b; }

typedef void (*Launch)(const void* params);

@KERNELS@

static const Launch launches[] = {@LAUNCHES@};

static void read_exactly(void* to, size_t bytes) {
    if (fread(to, 1, bytes, stdin) != bytes) {
        fprintf(stderr, "a launch ends early\n");
        exit(1);
    }
}

static void run(Launch launch, const uint32_t* grid, uint32_t threads, const void* params) {
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z) {
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y) {
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x) {
                for (unsigned warp = 0; warp < threads / 32; ++warp) {
                    words.clear();
                    for (unsigned lane = 32; lane-- > 0;) {
                        threadIdx.x = warp * 32 + lane;
                        votes = 0;
                        launch(params);
                    }
                }
            }
        }
    }
}

int main() {
    uint32_t head[6];
    while (fread(head, sizeof head, 1, stdin) == 1) {
        std::vector<char> params(head[5]);
        read_exactly(params.data(), params.size());
        uint32_t n_buffers;
        read_exactly(&n_buffers, sizeof n_buffers);
        std::vector<std::vector<char>> buffers(n_buffers);
        std::vector<bool> returned(n_buffers);
        for (uint32_t n = 0; n < n_buffers; ++n) {
            uint32_t place[2];
            uint64_t bytes;
            read_exactly(place, sizeof place);
            read_exactly(&bytes, sizeof bytes);
            buffers[n].resize(bytes);
            read_exactly(buffers[n].data(), bytes);
            returned[n] = place[1] != 0;
            const char* address = buffers[n].data();
            memcpy(params.data() + place[0], &address, sizeof address);
        }
        run(launches[head[0]], head + 1, head[4], params.data());
        for (uint32_t n = 0; n < n_buffers; ++n) {
            if (returned[n]) {
                fwrite(buffers[n].data(), 1, buffers[n].size(), stdout);
            }
        }
    }
    return 0;
}
