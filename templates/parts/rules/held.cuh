//# part kHeldKeys
constexpr int kHeldKeys = 16;    // of a line, by each thread on it; others are made again
//# part span_of_held
// From the least to the most of the words that lie in `left`.
DEVICE WordSpan span_of_held(const u32 (&words)[kHeldKeys], WordSpan left) {
    WordSpan found = {~0u, 0};
    UNROLL for (int at = 0; at < kHeldKeys; ++at) {
        widen(found, words[at], left);
    }
    return found;
}
//# part held_mass_below
DEVICE float held_mass_below(const float (&mass)[kHeldKeys], const u32 (&words)[kHeldKeys],
                             u32 end) {
    float sum = 0.0f;
    UNROLL for (int at = 0; at < kHeldKeys; ++at) {
        sum += words[at] < end ? mass[at] : 0.0f;
    }
    return sum;
}
//# part held_count_below
DEVICE int held_count_below(const u32 (&words)[kHeldKeys], u32 end) {
    int sum = 0;
    UNROLL for (int at = 0; at < kHeldKeys; ++at) {
        sum += words[at] < end;
    }
    return sum;
}
