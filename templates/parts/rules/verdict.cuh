//# part kPass
constexpr u32 kPass = 1;     // of a verdict: a token pair passes
//# part kFail
constexpr u32 kFail = 2;     // of a verdict: a token pair fails
//# part kMixed
constexpr u32 kMixed = 3;    // both, or not known
//# part decided
DEVICE u32 decided(bool always, bool never) { return always ? kPass : never ? kFail : kMixed; }
//# part negated
DEVICE u32 negated(u32 verdict) { return verdict >> 1 | (verdict << 1 & kFail); }
//# part all_of
DEVICE u32 all_of(u32 a, u32 b) { return (a & b & kPass) | ((a | b) & kFail); }
//# part any_of
DEVICE u32 any_of(u32 a, u32 b) { return ((a | b) & kPass) | (a & b & kFail); }
//# part is_same_verdict
DEVICE u32 is_same_verdict(u32 a, u32 b) {
    return any_of(all_of(a, b), all_of(negated(a), negated(b)));
}
//# part is_within
// Whether the tokens of a span lie in the range from `first` up to, but without, `end`.
DEVICE u32 is_within(Span tokens, int first, int end) {
    return decided(tokens.first >= first && tokens.last < end,
                   tokens.last < first || tokens.first >= end);
}
