//# part kAbsent
// The key of what is not in its line: after all others.
constexpr u64 kAbsent = ~0ull;
//# part ascending_key
// Keys of a line are in the order of its elements, and no two are equal: those that stand first,
// then by value (NaN last), then by index. Bit 63, bits 62 to 31, bits 30 to 0.
DEVICE u64 ascending_key(bool first, float value, int index) {
    const u32 bits = __float_as_uint(value + 0.0f);    // -0 is 0
    const u32 sign = (u32)((int)bits >> 31);
    const u32 place = value != value ? 0xffffffffu : bits ^ (sign | 0x80000000u);
    return (u64)!first << 63 | (u64)place << 31 | (u64)index;
}
//# part descending_key
// As ascending_key, with the largest value first.
DEVICE u64 descending_key(bool first, float value, int index) {
    const u32 bits = __float_as_uint(value + 0.0f);    // -0 is 0
    const u32 sign = (u32)((int)bits >> 31);
    const u32 place = value != value ? 0xffffffffu : ~(bits ^ (sign | 0x80000000u));
    return (u64)!first << 63 | (u64)place << 31 | (u64)index;
}
//# part ascending_value
// The value of an element by its key.
DEVICE float ascending_value(u64 key) {
    const u32 place = (u32)(key >> 31);
    return __uint_as_float(place >> 31 ? place ^ 0x80000000u : ~place);
}
//# part descending_value
DEVICE float descending_value(u64 key) {
    const u32 place = ~(u32)(key >> 31);
    return __uint_as_float(place >> 31 ? place ^ 0x80000000u : ~place);
}
//# part ascending_mass
// NaN has no mass.
DEVICE float ascending_mass(u64 key) {
    const float value = ascending_value(key);
    return value == value ? value : 0.0f;
}
//# part descending_mass
// NaN has no mass.
DEVICE float descending_mass(u64 key) {
    const float value = descending_value(key);
    return value == value ? value : 0.0f;
}
//# part word_of_key
// The upper word of a key; after that the lower word of those that share the upper one of the cut.
DEVICE u32 word_of_key(u64 key, int half, u64 cut) {
    return half == 0 ? (u32)(key >> 32) : key >> 32 == cut >> 32 ? (u32)key : ~0u;
}
//# part WordSpan
// The words from `least` to `most`, both included; none if it is the other way round.
struct WordSpan {
    u32 least, most;
};
//# part widen
// Makes `found` hold a word that lies in `left`.
DEVICE void widen(WordSpan& found, u32 word, WordSpan left) {
    if (left.least <= word && word <= left.most) {
        found = WordSpan{min(found.least, word), max(found.most, word)};
    }
}
