//# part words_of
// 32-bit words of a row of `bits` bits; rows start on 64-bit words.
DEVICE int words_of(int bits) { return (bits + 63) / 64 * 2; }
//# part is_computed
// One bit of row `row` of a symbol whose rows hold `bits` bits and start on 64-bit words.
DEVICE bool is_computed(const u32* symbol, int row, int bits, int bit) {
    return symbol[row * words_of(bits) + bit / 32] >> (bit % 32) & 1;
}
