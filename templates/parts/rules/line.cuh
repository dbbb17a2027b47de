//# part KeySpan
// The keys from `least` to `most`, both included; none if it is the other way round.
struct KeySpan {
    u64 least, most;
};
//# part holds_key
DEVICE bool holds_key(KeySpan span, u64 key) { return span.least <= key && key <= span.most; }
//# part add_key
DEVICE void add_key(KeySpan& of, u64 key) { of = {min(of.least, key), max(of.most, key)}; }
//# part warp_least_key
DEVICE u64 warp_least_key(u64 key) {
    const u32 upper = warp_least((u32)(key >> 32));
    return (u64)upper << 32 | warp_least(key >> 32 == upper ? (u32)key : ~0u);
}
//# part warp_key_span
// From the least to the most of what any lane has.
DEVICE KeySpan warp_key_span(KeySpan x) {
    return KeySpan{warp_least_key(x.least), ~warp_least_key(~x.most)};
}
//# part kShares
constexpr int kShares = 16;    // of what is left of a line: its keys, in equal parts
//# part share_sums
// Room of a warp for sums of shares, apart for each lane that adds to them.
DEVICE float (&share_sums())[kShares][32] {
    __shared__ float sums[kCtaRows][kShares][32];
    return sums[threadIdx.x / 32];
}
//# part share_shift
// A share is so many bits of keys wide, of which at least two are left.
DEVICE int share_shift(KeySpan span) { return max(60 - __clzll(span.most - span.least), 0); }
//# part sum_of_share
// Of the share of this lane, which both halves of the warp have, always in the same order.
DEVICE float sum_of_share(const float (&sums)[kShares][32]) {
    const int share = threadIdx.x % kShares;
    const int half = threadIdx.x % 32 - share;
    float sum = 0.0f;
    __syncwarp();
    UNROLL for (int from = 0; from < 16; ++from) {
        sum += sums[share][half + (from + share) % 16];    // lanes start in different banks
    }
    __syncwarp();
    return sum + __shfl_xor_sync(0xffffffffu, sum, 16);
}
//# part sum_of_shares_up_to
// Over the share of this lane and those before it, always in the same order.
DEVICE float sum_of_shares_up_to(float x) {
    UNROLL for (int lanes = 1; lanes < kShares; lanes *= 2) {
        const float before = __shfl_up_sync(0xffffffffu, x, lanes, kShares);
        x += threadIdx.x % kShares >= lanes ? before : 0.0f;
    }
    return x;
}
//# part first_that_fails
// The first share that fails. A sum may differ by its rounding where a share adds nothing, and the
// last share with keys is not tried: if no other one fails, it holds the end of the line.
DEVICE int first_that_fails(KeySpan span, bool fails, float added) {
    const int share = threadIdx.x % kShares;
    const int last = (int)((span.most - span.least) >> share_shift(span));
    const bool counts = share == last || (fails && (share == 0 || added != 0.0f));
    return __ffs(__ballot_sync(0xffffffffu, counts)) - 1;
}
//# part span_of_share
DEVICE KeySpan span_of_share(KeySpan span, int share) {
    const int shift = share_shift(span);
    const u64 first = span.least + ((u64)share << shift);
    return KeySpan{first, first + min(((u64)1 << shift) - 1, span.most - first)};
}
