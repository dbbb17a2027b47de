// How far O and lse are from attention in f64. It visits every pair of a row, and shares no line
// with what it judges.
//
// grid       query tokens of the longest item, heads, items; a CTA for each row
// bound      of an element of O, u half a unit in the last place of 1, weights p over their sum:
//              u · Σ p |v|           weights are rounded once to the tensors' type
//              u · |o|               and so is O
//              Σ p δ (|v| + |o|)     a logit is off by δ: 16 units of the largest value that its
//                                    sum of D products may have, because tensor cores cut off once
//                                    each 16 columns, and 4 units of what follows
//              64 units · Σ p |v|    sums over kv rows in f32
//              2^-25 · Σ |v|         f16 only: weights below 2^-14 have fewer digits

struct Params {
    const u16* q;           // [rows, H, D]
    const u16* k;           // [kv rows, H_kv, D]
    const u16* v;
    const u16* o;           // what is judged
    const float* lse;
    const u16* features;    // [terms, rows, H, D]
    const u8* s_c;          // [B, T_q, H], a byte for each decision
    const u8* s_s;          // [B, T_q, H, T_kv]; the mask comes on top
    const int* q_start;     // [B + 1]: rows of the items
    const int* kv_start;
    const int* lse_start;   // [B]
    double* found;          // [rows, H, 6]
    double scale;
    float coefficients[4];
    float slope;            // of the score, times the distance
    int scored;
    int banded;             // kv ≤ q + shift and q - kv ≤ reach
    int shift;
    int reach;
    int striped;            // (q + kv) % 3 = 0
    int heads;
    int kv_heads;
    int head_dim;
    int block_q;
    int block_kv;
    int q_blocks;
    int kv_blocks;
    int rows;
    int terms;
    int lse_stride;
    int is_bf16;
};

constexpr int kThreads = 128;
constexpr int kMostKv = 2000;
constexpr double kUnit = 1.0 / 8388608.0;    // of f32, 2^-23
constexpr double kLeastHalf = 1.0 / 33554432.0;    // half of the least f16 above 0
constexpr double kBad = 1e300;

// What is told of a row.
enum { kWorstO, kWorstLse, kErrorSquared, kYardstickSquared, kTruthSquared, kElements, kTold };

__device__ __forceinline__ bool passes(const Params& p, int q, int kv) {
    const bool is_in_band = kv <= q + p.shift && q - kv <= p.reach;
    return (is_in_band || !p.banded) && ((q + kv) % 3 == 0 || !p.striped);
}

// How much of what is allowed an error takes; a value that is not finite must be so in both. What
// an allowed error takes beyond the largest value of its type may be infinite.
__device__ double share(double truth, double given, double allowed, double largest) {
    if (isfinite(truth) && isinf(given) && fabs(truth) + allowed > largest) {
        return 1.0;
    }
    if (isfinite(truth) != isfinite(given)) {
        return kBad;
    }
    return isfinite(truth) ? fabs(truth - given) / allowed : 0.0;
}

extern "C" __global__ void __launch_bounds__(kThreads)
exact(const __grid_constant__ Params p) {
    __shared__ double weight[kMostKv];     // first the logit
    __shared__ double spread[kMostKv];     // by how much the logit may be off
    __shared__ float weight32[kMostKv];    // the same in the precision of a kernel
    __shared__ u8 counts[kMostKv];
    __shared__ double told[kThreads][kTold];
    const int b = blockIdx.z;
    const int head = blockIdx.y;
    const int token = blockIdx.x;
    const int row = p.q_start[b] + token;
    if (row >= p.q_start[b + 1]) {
        return;
    }
    const int n_kv = p.kv_start[b + 1] - p.kv_start[b];
    const u64 at = ((u64)row * p.heads + head) * p.head_dim;
    const u64 kv_row = (u64)p.kv_heads * p.head_dim;
    const u64 kv_at = p.kv_start[b] * kv_row + (u64)(head / (p.heads / p.kv_heads)) * p.head_dim;
    const u64 decision = ((u64)b * p.q_blocks + token / p.block_q) * p.heads + head;
    const float lse = p.lse[p.lse_start[b] + head * p.lse_stride + token];
    const double largest = p.is_bf16 ? 3.3895e38 : 65504.0;
    const double unit = p.is_bf16 ? 1.0 / 256.0 : 1.0 / 2048.0;    // of 1
    double worst_o = 0.0, worst_lse = 0.0;
    double error2 = 0.0, yardstick2 = 0.0, truth2 = 0.0, elements = 0.0;

    if (!p.s_c[decision]) {
        worst_lse = lse == minus_infinity() ? 0.0 : kBad;
        for (int d = threadIdx.x; d < p.head_dim; d += kThreads) {
            double truth = 0.0, size = 0.0;
            for (int term = 0; term < p.terms; ++term) {
                const u64 of = (u64)term * p.rows * p.heads * p.head_dim + at + d;
                const double part = (double)p.coefficients[term] * value(p.features[of], p.is_bf16);
                truth += part;
                size += fabs(part);
            }
            const double given = value(p.o[at + d], p.is_bf16);
            const double allowed = unit * fabs(truth) + 8 * kUnit * size + kLeastHalf;
            worst_o = fmax(worst_o, share(truth, given, allowed, largest));
        }
    } else {
        for (int kv = threadIdx.x; kv < n_kv; kv += kThreads) {
            counts[kv] = p.s_s[decision * p.kv_blocks + kv / p.block_kv] && passes(p, token, kv);
            double dot = 0.0, size = 0.0;
            float dot32 = 0.0f;
            for (int d = 0; counts[kv] && d < p.head_dim; ++d) {
                const float x = value(p.q[at + d], p.is_bf16);
                const float y = value(p.k[kv_at + kv * kv_row + d], p.is_bf16);
                dot += (double)x * y;
                size += fabs((double)x * y);
                dot32 += x * y;
            }
            double logit = dot * p.scale;
            float logit32 = dot32 * (float)p.scale;
            double off = 16 * kUnit * size * fabs(p.scale) + 4 * kUnit * fabs(logit);
            if (p.scored) {
                const float distance = p.slope * (float)abs(token - kv);
                logit = (double)((float)logit - distance);
                logit32 -= distance;
                off += 4 * kUnit * (fabs(logit) + fabs(distance));
            }
            weight[kv] = logit;
            weight32[kv] = logit32;
            spread[kv] = isfinite(logit) ? off + 4 * kUnit : 0.0;
        }
        __syncthreads();
        double most = minus_infinity();
        float most32 = minus_infinity();
        for (int kv = 0; kv < n_kv; ++kv) {
            most = counts[kv] ? fmax(most, weight[kv]) : most;
            most32 = counts[kv] ? fmaxf(most32, weight32[kv]) : most32;
        }
        most = most == minus_infinity() ? 0.0 : most;
        most32 = most32 == minus_infinity() ? 0.0f : most32;
        __syncthreads();
        for (int kv = threadIdx.x; kv < n_kv; kv += kThreads) {
            weight[kv] = counts[kv] ? exp(weight[kv] - most) : 0.0;
            weight32[kv] = counts[kv] ? (float)exp((double)(weight32[kv] - most32)) : 0.0f;
        }
        __syncthreads();
        for (int d = threadIdx.x; d < p.head_dim; d += kThreads) {
            double sum = 0.0, o = 0.0, size = 0.0, off = 0.0, off_v = 0.0, values = 0.0;
            float sum32 = 0.0f, o32 = 0.0f;
            for (int kv = 0; kv < n_kv; ++kv) {
                if (!counts[kv]) {
                    continue;
                }
                const float x = value(p.v[kv_at + kv * kv_row + d], p.is_bf16);
                sum += weight[kv];
                o += weight[kv] * x;
                size += weight[kv] * fabs((double)x);
                off += weight[kv] * spread[kv];
                off_v += weight[kv] * spread[kv] * fabs((double)x);
                values += fabs((double)x);
                sum32 += weight32[kv];
                o32 += rounded(weight32[kv], p.is_bf16) * x;
            }
            const bool is_empty = sum == 0.0;
            const double truth = is_empty ? 0.0 : o / sum;
            const double given = value(p.o[at + d], p.is_bf16);
            double allowed = unit * fabs(truth) + kLeastHalf * kLeastHalf;
            if (!is_empty) {
                allowed += ((unit + 64 * kUnit) * size + 2 * (off_v + off * fabs(truth))) / sum;
            }
            if (!p.is_bf16) {
                allowed += (1.0 + (is_empty ? 0.0 : values / sum)) * kLeastHalf;
            }
            // Where all weights are 0 so is O; but 0 times a value that is not finite is NaN.
            if (!is_empty || isfinite(values) || isfinite(given)) {
                worst_o = fmax(worst_o, share(truth, given, 1.1 * allowed, largest));
            }
            if (isfinite(truth) && isfinite(given)) {
                const double yardstick = is_empty ? 0.0 : rounded(o32 / sum32, p.is_bf16);
                error2 += (given - truth) * (given - truth);
                yardstick2 += (yardstick - truth) * (yardstick - truth);
                truth2 += truth * truth;
                elements += 1.0;
            }
            if (d == 0) {
                const double truth_lse = is_empty ? (double)minus_infinity() : most + log(sum);
                const double allowed_lse = 1e-5 + 4 * kUnit * fabs(truth_lse) + 2 * off / sum;
                worst_lse = share(truth_lse, lse, is_empty ? 1.0 : allowed_lse, kBad);
                // -∞ says that a row is empty, and no other value says so.
                worst_lse = is_empty == (lse == minus_infinity()) ? worst_lse : kBad;
            }
        }
    }
    const double mine[kTold] = {worst_o, worst_lse, error2, yardstick2, truth2, elements};
    for (int i = 0; i < kTold; ++i) {
        told[threadIdx.x][i] = mine[i];
    }
    __syncthreads();
    // In the order of the threads, so that it is the same every time.
    if (threadIdx.x < kTold) {
        const bool is_most = threadIdx.x <= kWorstLse;
        double all = 0.0;
        for (int thread = 0; thread < kThreads; ++thread) {
            const double one = told[thread][threadIdx.x];
            all = is_most ? fmax(all, one) : all + one;
        }
        p.found[((u64)row * p.heads + head) * kTold + threadIdx.x] = all;
    }
}
