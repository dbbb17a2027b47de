//# part kLineKeys
constexpr int kLineKeys = 512;    // elements of a line that a warp keeps; others are made again
//# part line_of_warp
// Room of a warp for words of keys, each with the mass of its element.
DEVICE uint2* line_of_warp() {
    __shared__ uint2 lines[kCtaRows][kLineKeys];
    return lines[threadIdx.x / 32];
}
//# part mass_below
// Of the elements of a line whose word is less than `end`, in the order of the line.
DEVICE float mass_below(const uint2* line, int n, u32 end) {
    float sum = 0.0f;
    #pragma unroll 8
    for (int at = 0; at < n; ++at) {
        sum += line[at].x < end ? __uint_as_float(line[at].y) : 0.0f;
    }
    return sum;
}
//# part count_below
DEVICE int count_below(const uint2* line, int n, u32 end) {
    int sum = 0;
    #pragma unroll 8
    for (int at = 0; at < n; ++at) {
        sum += line[at].x < end;
    }
    return sum;
}
//# part end_of_share
// Where the share of a lane ends, if the words after the least are shared out; the last share ends
// with the most.
DEVICE u32 end_of_share(WordSpan span, int lane) {
    const u32 range = span.most - span.least;
    return span.least + (u32)min((u64)(range / 32 + 1) * (lane + 1), (u64)range);
}
//# part span_of_share
// What is left if all sums up to the first `passing` ends of shares pass, and the next one fails.
DEVICE WordSpan span_of_share(WordSpan span, u32 end, int passing) {
    const u32 least = __shfl_sync(0xffffffffu, end, max(passing - 1, 0));
    const u32 most = __shfl_sync(0xffffffffu, end, min(passing, 31)) - 1;
    return WordSpan{passing > 0 ? least : span.least, passing < 32 ? most : span.most};
}
//# part keep_words
// Keeps those of the `n` words of a line that lie in `left`, in their order; gives their number,
// and makes `found` hold those that this lane saw.
DEVICE int keep_words(uint2* line, int n, WordSpan left, WordSpan& found) {
    const int lane = threadIdx.x % 32;
    int kept = 0;
    for (int first = 0; first < n; first += 32) {
        const uint2 x = line[min(first + lane, n - 1)];
        const bool stays = first + lane < n && left.least <= x.x && x.x <= left.most;
        const u32 staying = __ballot_sync(0xffffffffu, stays);
        __syncwarp();
        if (stays) {
            line[kept + __popc(staying & ((1u << lane) - 1))] = x;
            widen(found, x.x, left);
        }
        kept += __popc(staying);
    }
    __syncwarp();
    return kept;
}
