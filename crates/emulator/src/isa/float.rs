//! f32 and f64 arithmetic.
//!
//! Rounding to nearest, which NVRTC writes by default, has a loop of its own for each operation, and so has the same with
//! flushing, which it writes under `-use_fast_math`. Everything else runs through one general loop, with passes over whole
//! rows before and after it.

use super::form::operands::{L, TO_L, TO_P, TO_W, W};
use super::form::{Action, Family, Form, Operand, lane_function, lanes};
use super::note::{self, flagged};
use crate::machine::lanes::{Lane, WARP, each};
use crate::numeric::exact::{DOUBLE, Exact};
use crate::numeric::single::{self, canonical, canonical_wide, maximum, maximum_wide, minimum, minimum_wide};
use crate::numeric::{NAN_F64, Rounding};

const W_W: &[Operand] = &[TO_W, W];
const W_WW: &[Operand] = &[TO_W, W, W];
const W_WWW: &[Operand] = &[TO_W, W, W, W];
const L_L: &[Operand] = &[TO_L, L];
const L_LL: &[Operand] = &[TO_L, L, L];
const L_LLL: &[Operand] = &[TO_L, L, L, L];
const P_W: &[Operand] = &[TO_P, W];
const P_L: &[Operand] = &[TO_P, L];

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    row("add[.rn|.rz|.rm|.rp][.ftz][.sat].f32", W_WW, "d = a + b", ordinary!(|a, b| a + b, single::add)),
    row("sub[.rn|.rz|.rm|.rp][.ftz][.sat].f32", W_WW, "d = a - b", ordinary!(|a, b| a - b, subtract)),
    row("mul[.rn|.rz|.rm|.rp][.ftz][.sat].f32", W_WW, "d = a * b", ordinary!(|a, b| a * b, single::multiply)),
    row(
        "fma{.rn|.rz|.rm|.rp}[.ftz][.sat].f32",
        W_WWW,
        "d = a * b + c, rounded once",
        ordinary!(|a, b, c| a.mul_add(b, c), single::fuse),
    ),
    row(
        "mad{.rn|.rz|.rm|.rp}[.ftz][.sat].f32",
        W_WWW,
        "d = a * b + c, rounded once",
        ordinary!(|a, b, c| a.mul_add(b, c), single::fuse),
    ),
    row("div{.rn|.rz|.rm|.rp}[.ftz].f32", W_WW, "d = a / b", ordinary!(|a, b| a / b, single::divide)),
    row("rcp{.rn|.rz|.rm|.rp}[.ftz].f32", W_W, "d = 1 / a", ordinary!(|a| 1.0 / a, reciprocal)),
    row("sqrt{.rn|.rz|.rm|.rp}[.ftz].f32", W_W, "d = the square root of a", ordinary!(|a| a.sqrt(), single::root)),
    row("add[.rn|.rz|.rm|.rp][.ftz].f32x2", L_LL, "each half of d = a + b", packed!(|a, b| a + b, single::add)),
    row("sub[.rn|.rz|.rm|.rp][.ftz].f32x2", L_LL, "each half of d = a - b", packed!(|a, b| a - b, subtract)),
    row("mul[.rn|.rz|.rm|.rp][.ftz].f32x2", L_LL, "each half of d = a * b", packed!(|a, b| a * b, single::multiply)),
    row(
        "fma{.rn|.rz|.rm|.rp}[.ftz].f32x2",
        L_LLL,
        "each half of d = a * b + c, rounded once",
        packed!(|a, b, c| a.mul_add(b, c), single::fuse),
    ),
    row("min[.ftz][.NaN].f32", W_WW, "d = the lesser; a number rather than NaN, .NaN: NaN", extreme!(minimum, a, b)),
    row("max[.ftz][.NaN].f32", W_WW, "d = the greater; a number rather than NaN, .NaN: NaN", extreme!(maximum, a, b)),
    row("min[.ftz][.NaN].f32", W_WWW, "d = the least; a number rather than NaN, .NaN: NaN", extreme!(minimum, a, b, c)),
    row(
        "max[.ftz][.NaN].f32",
        W_WWW,
        "d = the greatest; a number rather than NaN, .NaN: NaN",
        extreme!(maximum, a, b, c),
    ),
    row("min[.ftz][.NaN].xorsign.abs.f32", W_WW, "d = the lesser magnitude, with the sign of a * b", signed!(minimum)),
    row("max[.ftz][.NaN].xorsign.abs.f32", W_WW, "d = the greater magnitude, with the sign of a * b", signed!(maximum)),
    row(
        "abs[.ftz].f32",
        W_W,
        "d = a without its sign",
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let out = flush_row(f32::load(lanes, a), ins.note);
            f32::store(lanes, d, each(&out, f32::abs));
        })),
    ),
    row(
        "neg[.ftz].f32",
        W_W,
        "d = a with the other sign",
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, ..] = ins.rows;
            let out = flush_row(f32::load(lanes, a), ins.note);
            f32::store(lanes, d, each(&out, |value| -value));
        })),
    ),
    row("copysign.f32", W_WW, "d = b with the sign of a", lanes!(|a: f32, b: f32| -> f32 { b.copysign(a) })),
    row("add[.rn].f64", L_LL, "d = a + b", lanes!(|a: f64, b: f64| -> f64 { canonical_wide(a + b) })),
    row("sub[.rn].f64", L_LL, "d = a - b", lanes!(|a: f64, b: f64| -> f64 { canonical_wide(a - b) })),
    row("mul[.rn].f64", L_LL, "d = a * b", lanes!(|a: f64, b: f64| -> f64 { canonical_wide(a * b) })),
    row(
        "fma.rn.f64",
        L_LLL,
        "d = a * b + c, rounded once",
        lanes!(|a: f64, b: f64, c: f64| -> f64 { canonical_wide(a.mul_add(b, c)) }),
    ),
    row(
        "mad.rn.f64",
        L_LLL,
        "d = a * b + c, rounded once",
        lanes!(|a: f64, b: f64, c: f64| -> f64 { canonical_wide(a.mul_add(b, c)) }),
    ),
    row("div.rn.f64", L_LL, "d = a / b", lanes!(|a: f64, b: f64| -> f64 { canonical_wide(a / b) })),
    row("rcp.rn.f64", L_L, "d = 1 / a", lanes!(|a: f64| -> f64 { canonical_wide(1.0 / a) })),
    row("sqrt.rn.f64", L_L, "d = the square root of a", lanes!(|a: f64| -> f64 { canonical_wide(a.sqrt()) })),
    row("add{.rz|.rm|.rp}.f64", L_LL, "d = a + b", directed!(|a, b| add_wide)),
    row("sub{.rz|.rm|.rp}.f64", L_LL, "d = a - b", directed!(|a, b| subtract_wide)),
    row("mul{.rz|.rm|.rp}.f64", L_LL, "d = a * b", directed!(|a, b| multiply_wide)),
    row("fma{.rz|.rm|.rp}.f64", L_LLL, "d = a * b + c, rounded once", directed!(|a, b, c| fuse_wide)),
    row("mad{.rz|.rm|.rp}.f64", L_LLL, "d = a * b + c, rounded once", directed!(|a, b, c| fuse_wide)),
    row("div{.rz|.rm|.rp}.f64", L_LL, "d = a / b", directed!(|a, b| divide_wide)),
    row("rcp{.rz|.rm|.rp}.f64", L_L, "d = 1 / a", directed!(|a| reciprocal_wide)),
    row("sqrt{.rz|.rm|.rp}.f64", L_L, "d = the square root of a", directed!(|a| root_wide)),
    row(
        "min.f64",
        L_LL,
        "d = the lesser; a number rather than NaN",
        lanes!(|a: f64, b: f64| -> f64 { minimum_wide(a, b) }),
    ),
    row(
        "max.f64",
        L_LL,
        "d = the greater; a number rather than NaN",
        lanes!(|a: f64, b: f64| -> f64 { maximum_wide(a, b) }),
    ),
    row("abs.f64", L_L, "d = a without its sign", lanes!(|a: f64| -> f64 { a.abs() })),
    row("neg.f64", L_L, "d = a with the other sign", lanes!(|a: f64| -> f64 { -a })),
    row("copysign.f64", L_LL, "d = b with the sign of a", lanes!(|a: f64, b: f64| -> f64 { b.copysign(a) })),
    test("testp.finite.f32", P_W, "p = a is neither infinite nor NaN", lanes!(|a: f32| -> bool { a.is_finite() })),
    test("testp.infinite.f32", P_W, "p = a is infinite", lanes!(|a: f32| -> bool { a.is_infinite() })),
    test("testp.number.f32", P_W, "p = a is not NaN", lanes!(|a: f32| -> bool { !a.is_nan() })),
    test("testp.notanumber.f32", P_W, "p = a is NaN", lanes!(|a: f32| -> bool { a.is_nan() })),
    test(
        "testp.normal.f32",
        P_W,
        "p = a is finite, and neither subnormal nor zero",
        lanes!(|a: f32| -> bool { a.is_finite() & (a.abs() >= f32::MIN_POSITIVE) }),
    ),
    test("testp.subnormal.f32", P_W, "p = a is subnormal", lanes!(|a: f32| -> bool { is_subnormal(a) })),
    test("testp.finite.f64", P_L, "p = a is neither infinite nor NaN", lanes!(|a: f64| -> bool { a.is_finite() })),
    test("testp.infinite.f64", P_L, "p = a is infinite", lanes!(|a: f64| -> bool { a.is_infinite() })),
    test("testp.number.f64", P_L, "p = a is not NaN", lanes!(|a: f64| -> bool { !a.is_nan() })),
    test("testp.notanumber.f64", P_L, "p = a is NaN", lanes!(|a: f64| -> bool { a.is_nan() })),
    test(
        "testp.normal.f64",
        P_L,
        "p = a is finite, and neither subnormal nor zero",
        lanes!(|a: f64| -> bool { a.is_finite() & (a.abs() >= f64::MIN_POSITIVE) }),
    ),
    test("testp.subnormal.f64", P_L, "p = a is subnormal", lanes!(|a: f64| -> bool { is_subnormal_wide(a) })),
];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Float, meaning, action }
}

const fn test(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Compare, meaning, action }
}

/// An f32 operation: the expression for rounding to nearest, and a function that also takes the rounding.
macro_rules! ordinary {
    (|$($x:ident),+| $nearest:expr, $directed:path) => {
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen);
            Some(if ins.note == 0 {
                lanes!(|$($x: f32),+| -> f32 { canonical($nearest) })
            } else if ins.note == note::FLUSH {
                lanes!(|$($x: f32),+| -> f32 {
                    $(let $x = single::flush($x);)+
                    single::flush(canonical($nearest))
                })
            } else {
                lane_function!(|lanes, ins| {
                    let [d, $($x,)+ ..] = ins.rows;
                    $(let $x = flush_row(f32::load(lanes, $x), ins.note);)+
                    let mut out = [0.0f32; WARP];
                    match note::rounding(ins.note) {
                        Rounding::Nearest => for lane in 0..WARP {
                            $(let $x = $x[lane];)+
                            out[lane] = canonical($nearest);
                        },
                        rounding => for lane in 0..WARP {
                            out[lane] = canonical($directed($($x[lane],)+ rounding));
                        },
                    }
                    f32::store(lanes, d, finish_row(out, ins.note));
                })
            })
        })
    };
}
use ordinary;

/// An f32 operation on both halves of 64-bit registers.
macro_rules! packed {
    (|$($x:ident),+| $nearest:expr, $directed:path) => {
        flagged!(lane_function!(|lanes, ins| {
            let [d, $($x,)+ ..] = ins.rows;
            $(let $x = *lanes.wides($x);)+
            let mut out = [0u64; WARP];
            for half in [0, 32] {
                $(let $x = flush_row(each(&$x, |pair| f32::from_bits((pair >> half) as u32)), ins.note);)+
                let mut part = [0.0f32; WARP];
                match note::rounding(ins.note) {
                    Rounding::Nearest => for lane in 0..WARP {
                        $(let $x = $x[lane];)+
                        part[lane] = canonical($nearest);
                    },
                    rounding => for lane in 0..WARP {
                        part[lane] = canonical($directed($($x[lane],)+ rounding));
                    },
                }
                let part = finish_row(part, ins.note);
                for lane in 0..WARP {
                    out[lane] |= u64::from(part[lane].to_bits()) << half;
                }
            }
            lanes.set_wides(d, &out);
        }))
    };
}
use packed;

/// A minimum or maximum of f32 values.
macro_rules! extreme {
    ($extreme:ident, $first:ident $(, $x:ident)+) => {
        Action::Choose(|chosen, ins| {
            ins.note = note::of(chosen);
            Some(if ins.note == 0 {
                lanes!(|$first: f32 $(, $x: f32)+| -> f32 {
                    let out = $first;
                    $(let out = $extreme(out, $x);)+
                    out
                })
            } else {
                lane_function!(|lanes, ins| {
                    let [d, $first $(, $x)+, ..] = ins.rows;
                    let strict = ins.note & note::NAN != 0;
                    let mut out = flush_row(f32::load(lanes, $first), ins.note);
                    $(
                        let $x = flush_row(f32::load(lanes, $x), ins.note);
                        for lane in 0..WARP {
                            out[lane] = strictly(strict, $extreme(out[lane], $x[lane]), out[lane], $x[lane]);
                        }
                    )+
                    f32::store(lanes, d, out);
                })
            })
        })
    };
}
use extreme;

/// A minimum or maximum of magnitudes, with the sign of the product.
macro_rules! signed {
    ($extreme:ident) => {
        flagged!(lane_function!(|lanes, ins| {
            let [d, a, b, ..] = ins.rows;
            let strict = ins.note & note::NAN != 0;
            let (a, b) = (flush_row(f32::load(lanes, a), ins.note), flush_row(f32::load(lanes, b), ins.note));
            let mut out = [0.0f32; WARP];
            for lane in 0..WARP {
                let (a, b) = (a[lane], b[lane]);
                let magnitude = strictly(strict, $extreme(a.abs(), b.abs()), a, b);
                let sign = (a.to_bits() ^ b.to_bits()) & 0x8000_0000;
                let signed = f32::from_bits(magnitude.to_bits() ^ sign);
                out[lane] = canonical(signed);
            }
            f32::store(lanes, d, out);
        }))
    };
}
use signed;

/// An f64 operation with a directed rounding, lane by lane: rare, and exact.
macro_rules! directed {
    (|$($x:ident),+| $function:path) => {
        flagged!(lane_function!(|lanes, ins| {
            let [d, $($x,)+ ..] = ins.rows;
            let rounding = note::rounding(ins.note);
            $(let $x = f64::load(lanes, $x);)+
            let mut out = [0.0f64; WARP];
            for lane in 0..WARP {
                out[lane] = canonical_wide($function($($x[lane],)+ rounding));
            }
            f64::store(lanes, d, out);
        }))
    };
}
use directed;

/// The inputs, flushed if the note says so.
#[inline(always)]
fn flush_row(row: [f32; WARP], note: u32) -> [f32; WARP] {
    if note & note::FLUSH == 0 { row } else { each(&row, single::flush) }
}

/// The results, flushed and clamped as the note says.
#[inline(always)]
fn finish_row(row: [f32; WARP], note: u32) -> [f32; WARP] {
    let row = flush_row(row, note);
    if note & note::SATURATE == 0 { row } else { each(&row, single::saturate) }
}

/// NaN in place of a value if one of its sources is NaN and NaNs are to be seen.
#[inline(always)]
fn strictly(strict: bool, value: f32, a: f32, b: f32) -> f32 {
    if strict & (a.is_nan() | b.is_nan()) { crate::numeric::NAN_F32 } else { value }
}

#[inline(always)]
pub(super) fn subtract(a: f32, b: f32, rounding: Rounding) -> f32 {
    single::add(a, -b, rounding)
}

#[inline(always)]
fn reciprocal(a: f32, rounding: Rounding) -> f32 {
    single::divide(1.0, a, rounding)
}

#[inline(always)]
fn is_subnormal(a: f32) -> bool {
    (a != 0.0) & (a.abs() < f32::MIN_POSITIVE)
}

#[inline(always)]
fn is_subnormal_wide(a: f64) -> bool {
    (a != 0.0) & (a.abs() < f64::MIN_POSITIVE)
}

fn rounded(value: Exact, rounding: Rounding) -> f64 {
    f64::from_bits(value.round(DOUBLE, rounding))
}

/// What the host gives, unless the exact sum is finite: infinities, NaNs and zeros know no rounding, except that numbers
/// that cancel are -0 when rounding down.
fn sum_wide(host: f64, a: Option<Exact>, b: Option<Exact>, cancels: bool, rounding: Rounding) -> f64 {
    match Exact::sum(a, b) {
        Some(sum) => rounded(sum, rounding),
        None if cancels && rounding == Rounding::Down => -0.0,
        None => host,
    }
}

fn add_wide(a: f64, b: f64, rounding: Rounding) -> f64 {
    if !a.is_finite() || !b.is_finite() {
        return a + b;
    }
    let cancels = a.is_sign_negative() || b.is_sign_negative();
    sum_wide(a + b, Exact::of(a), Exact::of(b), cancels, rounding)
}

fn subtract_wide(a: f64, b: f64, rounding: Rounding) -> f64 {
    add_wide(a, -b, rounding)
}

fn multiply_wide(a: f64, b: f64, rounding: Rounding) -> f64 {
    match Exact::of(a).zip(Exact::of(b)) {
        Some((a, b)) => rounded(a.times(b), rounding),
        None => a * b,
    }
}

fn fuse_wide(a: f64, b: f64, c: f64, rounding: Rounding) -> f64 {
    if !a.is_finite() || !b.is_finite() || !c.is_finite() {
        return if (a * b).is_nan() || c.is_nan() { NAN_F64 } else { a.mul_add(b, c) };
    }
    let product = Exact::of(a).zip(Exact::of(b)).map(|(a, b)| a.times(b));
    let cancels = (a.is_sign_negative() != b.is_sign_negative()) || c.is_sign_negative();
    sum_wide(a.mul_add(b, c), product, Exact::of(c), cancels, rounding)
}

fn divide_wide(a: f64, b: f64, rounding: Rounding) -> f64 {
    match Exact::of(a).zip(Exact::of(b)) {
        Some((a, b)) => rounded(a.over(b), rounding),
        None => a / b,
    }
}

fn reciprocal_wide(a: f64, rounding: Rounding) -> f64 {
    divide_wide(1.0, a, rounding)
}

fn root_wide(a: f64, rounding: Rounding) -> f64 {
    match Exact::of(a) {
        Some(exact) if a > 0.0 => rounded(exact.root(), rounding),
        _ => a.sqrt(),
    }
}
