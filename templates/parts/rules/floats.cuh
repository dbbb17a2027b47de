//# part infinity
DEVICE float infinity() { return __int_as_float(0x7f800000); }
//# part Floats
// What a float can be on a cell: the numbers from `first` to `last`, infinities included and none
// if first > last, and NaN if `nan`.
struct Floats {
    float first, last;
    bool nan;
};
//# part no_number
DEVICE Floats no_number(bool nan) { return Floats{infinity(), -infinity(), nan}; }
//# part any_float
DEVICE Floats any_float() { return Floats{-infinity(), infinity(), true}; }
//# part float_of
DEVICE Floats float_of(float x) { return x == x ? Floats{x, x, false} : no_number(true); }
//# part to_floats
DEVICE Floats to_floats(Interval a) {
    return Floats{(float)(int)a.first, (float)(int)a.last, false};
}
//# part hull_of_floats
DEVICE Floats hull_of_floats(Floats a, Floats b) {
    return Floats{fminf(a.first, b.first), fmaxf(a.last, b.last), a.nan || b.nan};
}
//# part floats_in
// The values of an input over the tokens of a span.
DEVICE Floats floats_in(const float* values, Span tokens) {
    Floats found = no_number(false);
    for (int pos = tokens.first; pos <= tokens.last; ++pos) {
        found = hull_of_floats(found, float_of(values[pos]));
    }
    return found;
}
//# part has_numbers
DEVICE bool has_numbers(Floats a) { return a.first <= a.last; }
//# part is_single
// Whether there is one value only: NaN too, and 0 and -0 are two.
DEVICE bool is_single(Floats a) {
    return a.nan ? !has_numbers(a) : __float_as_int(a.first) == __float_as_int(a.last);
}
//# part only_value
DEVICE float only_value(Floats a) { return a.nan ? __int_as_float(0x7fffffff) : a.first; }
//# part is_unbounded
// Whether inf - inf, 0 · inf or 0 / 0 may lie inside.
DEVICE bool is_unbounded(Floats a, Floats b) {
    const float most = fmaxf(fmaxf(fabsf(a.first), fabsf(a.last)),
                             fmaxf(fabsf(b.first), fabsf(b.last)));
    return most == infinity();
}
//# part joined_floats
// The result of an operation from `first` to `last`, or of single values `single`.
DEVICE Floats joined_floats(Floats a, Floats b, float single, float first, float last) {
    if (is_single(a) && is_single(b)) {
        return float_of(single);
    }
    if (!has_numbers(a) || !has_numbers(b)) {
        return no_number(true);
    }
    return is_unbounded(a, b) ? any_float() : Floats{first, last, a.nan || b.nan};
}
//# part is_settled
// Whether the ends do not matter.
DEVICE bool is_settled(Floats a, Floats b) {
    return (is_single(a) && is_single(b)) || !has_numbers(a) || !has_numbers(b);
}
//# part add_floats
DEVICE Floats add_floats(Floats a, Floats b) {
    return joined_floats(a, b, __fadd_rn(only_value(a), only_value(b)),
                         __fadd_rn(a.first, b.first), __fadd_rn(a.last, b.last));
}
//# part subtract_floats
DEVICE Floats subtract_floats(Floats a, Floats b) {
    return joined_floats(a, b, __fsub_rn(only_value(a), only_value(b)),
                         __fsub_rn(a.first, b.last), __fsub_rn(a.last, b.first));
}
//# part least_corner
DEVICE float least_corner(float a, float b, float c, float d) {
    return fminf(fminf(a, b), fminf(c, d));
}
//# part most_corner
DEVICE float most_corner(float a, float b, float c, float d) {
    return fmaxf(fmaxf(a, b), fmaxf(c, d));
}
//# part multiply_floats
DEVICE Floats multiply_floats(Floats x, Floats y) {
    const float a = __fmul_rn(x.first, y.first);
    const float b = __fmul_rn(x.first, y.last);
    const float c = __fmul_rn(x.last, y.first);
    const float d = __fmul_rn(x.last, y.last);
    return joined_floats(x, y, __fmul_rn(only_value(x), only_value(y)), least_corner(a, b, c, d),
                         most_corner(a, b, c, d));
}
//# part divide_floats
DEVICE Floats divide_floats(Floats x, Floats y) {
    const float a = __fdiv_rn(x.first, y.first);
    const float b = __fdiv_rn(x.first, y.last);
    const float c = __fdiv_rn(x.last, y.first);
    const float d = __fdiv_rn(x.last, y.last);
    const float single = __fdiv_rn(only_value(x), only_value(y));
    const Floats found = joined_floats(x, y, single, least_corner(a, b, c, d),
                                       most_corner(a, b, c, d));
    return is_settled(x, y) || y.first > 0.0f || y.last < 0.0f ? found : any_float();
}
//# part remainder_floats
DEVICE Floats remainder_floats(Floats x, Floats y) {
    const float single = fmodf(only_value(x), only_value(y));
    const Floats found = joined_floats(x, y, single, 0.0f, 0.0f);
    return is_settled(x, y) ? found : any_float();
}
//# part negated_floats
DEVICE Floats negated_floats(Floats a) { return Floats{-a.last, -a.first, a.nan}; }
//# part absolute_floats
DEVICE Floats absolute_floats(Floats a) {
    if (!has_numbers(a)) {
        return a;
    }
    const float first = fabsf(a.first);
    const float last = fabsf(a.last);
    const bool holds_zero = a.first <= 0.0f && a.last >= 0.0f;
    return Floats{holds_zero ? 0.0f : fminf(first, last), fmaxf(first, last), a.nan};
}
//# part either_floats
// `numbers` where both are numbers, and what is left where one is NaN.
DEVICE Floats either_floats(Floats a, Floats b, Floats numbers) {
    Floats found = no_number(a.nan && b.nan);
    if (has_numbers(a) && has_numbers(b)) {
        found = hull_of_floats(found, numbers);
    }
    if (a.nan && has_numbers(b)) {
        found = hull_of_floats(found, Floats{b.first, b.last, false});
    }
    if (b.nan && has_numbers(a)) {
        found = hull_of_floats(found, Floats{a.first, a.last, false});
    }
    return found;
}
//# part least_floats
DEVICE Floats least_floats(Floats a, Floats b) {
    return either_floats(a, b, Floats{fminf(a.first, b.first), fminf(a.last, b.last), false});
}
//# part most_floats
DEVICE Floats most_floats(Floats a, Floats b) {
    return either_floats(a, b, Floats{fmaxf(a.first, b.first), fmaxf(a.last, b.last), false});
}
//# part from_zero
// Negative numbers become NaN, as a root's or a logarithm's.
DEVICE Floats from_zero(Floats a) {
    if (!has_numbers(a) || a.first >= 0.0f) {
        return a;
    }
    return a.last < 0.0f ? no_number(true) : Floats{0.0f, a.last, true};
}
//# part widened
// Devices agree on these functions to a few units in the last place only; on infinities wholly, but
// not on where they begin.
DEVICE Floats widened(float first, float last, Floats of) {
    if (!has_numbers(of)) {
        return of;
    }
    const float below = __fsub_rn(__fsub_rn(first, __fmul_rn(fabsf(first), 1e-5f)), 1e-30f);
    const float above = __fadd_rn(__fadd_rn(last, __fmul_rn(fabsf(last), 1e-5f)), 1e-30f);
    return Floats{first == infinity() ? 3.4e38f : below,
                  last == -infinity() ? last : above, of.nan};
}
//# part sqrt_floats
DEVICE Floats sqrt_floats(Floats a) {
    const Floats of = from_zero(a);
    return has_numbers(of) ? Floats{sqrtf(of.first), sqrtf(of.last), of.nan} : of;
}
//# part log_floats
DEVICE Floats log_floats(Floats a) {
    const Floats of = from_zero(a);
    return widened(logf(of.first), logf(of.last), of);
}
//# part log2_floats
DEVICE Floats log2_floats(Floats a) {
    const Floats of = from_zero(a);
    return widened(log2f(of.first), log2f(of.last), of);
}
//# part tanh_floats
DEVICE Floats tanh_floats(Floats a) { return widened(tanhf(a.first), tanhf(a.last), a); }
//# part exp_floats
DEVICE Floats exp_floats(Floats a) { return widened(expf(a.first), expf(a.last), a); }
//# part exp2_floats
DEVICE Floats exp2_floats(Floats a) { return widened(exp2f(a.first), exp2f(a.last), a); }
//# part whole_numbers
// Rounded numbers as integers: past 32 bits they stop at the ends, and NaN becomes 0.
DEVICE Interval whole_numbers(int first, int last, Floats of) {
    if (!has_numbers(of)) {
        return exactly(0);
    }
    const Interval numbers = {first, last};
    return of.nan ? Interval{min(numbers.first, 0LL), max(numbers.last, 0LL)} : numbers;
}
//# part floored
DEVICE Interval floored(Floats a) {
    return whole_numbers(__float2int_rd(a.first), __float2int_rd(a.last), a);
}
//# part ceiled
DEVICE Interval ceiled(Floats a) {
    return whole_numbers(__float2int_ru(a.first), __float2int_ru(a.last), a);
}
//# part unless_nan
// The verdict of a comparison, from that of its numbers and that of NaN.
DEVICE u32 unless_nan(u32 of_numbers, Floats a, Floats b) {
    if (!has_numbers(a) || !has_numbers(b)) {
        return kFail;
    }
    return (a.nan || b.nan) && of_numbers == kPass ? kMixed : of_numbers;
}
//# part is_less_float
DEVICE u32 is_less_float(Floats a, Floats b) {
    return unless_nan(decided(a.last < b.first, a.first >= b.last), a, b);
}
//# part is_at_most_float
DEVICE u32 is_at_most_float(Floats a, Floats b) {
    return unless_nan(decided(a.last <= b.first, a.first > b.last), a, b);
}
//# part is_equal_float
DEVICE u32 is_equal_float(Floats a, Floats b) {
    return unless_nan(decided(a.first >= b.last && a.last <= b.first,
                              a.first > b.last || a.last < b.first), a, b);
}
