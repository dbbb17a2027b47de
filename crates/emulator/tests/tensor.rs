//! Matrix products and matrix loads against index arithmetic: each element of a fragment is where the PTX ISA says.

mod support;

use ptx_emulator::Options;
use support::{kernel, run, text};

const M: usize = 16;
const N: usize = 8;

/// How a type of element is packed into words.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    F16,
    Bf16,
    Tf32,
    F32,
    E4m3,
    E5m2,
    Byte,
    S32,
}

impl Kind {
    fn per_word(self) -> usize {
        match self {
            Kind::F16 | Kind::Bf16 => 2,
            Kind::Tf32 | Kind::F32 | Kind::S32 => 1,
            Kind::Byte | Kind::E4m3 | Kind::E5m2 => 4,
        }
    }

    /// The bits of a whole number that the type holds.
    fn bits(self, value: i32) -> u32 {
        let single = (value as f32).to_bits();
        match self {
            Kind::F32 | Kind::Tf32 => single,
            Kind::Bf16 => single >> 16,
            // Normal numbers only: the exponents differ by their biases, the fraction loses 13 bits.
            Kind::F16 if value == 0 => 0,
            Kind::F16 => (single >> 16 & 0x8000) | ((single >> 13 & 0x3_FFFF) - (112 << 10)) & 0x7FFF,
            Kind::E4m3 | Kind::E5m2 if value == 0 => 0,
            Kind::E4m3 => (single >> 24 & 0x80) | ((single >> 20 & 0x7FF) - (120 << 3)) & 0x7F,
            Kind::E5m2 => (single >> 24 & 0x80) | ((single >> 21 & 0x3FF) - (112 << 2)) & 0x7F,
            Kind::Byte => value as u32 & 0xFF,
            Kind::S32 => value as u32,
        }
    }
}

/// A word made of elements, the first lowest.
fn pack(kind: Kind, elements: impl Iterator<Item = i32>) -> u32 {
    let width = 32 / kind.per_word();
    elements.enumerate().fold(0, |word, (at, value)| word | kind.bits(value) << (at * width))
}

/// Multiplies through the kernel of this name; `a` and `b` give whole numbers by row and column.
fn check(
    name: &str,
    depth: usize,
    from: Kind,
    to: Kind,
    a: impl Fn(usize, usize) -> i32,
    b: impl Fn(usize, usize) -> i32,
) {
    let c = |row: usize, column: usize| (row * N + column) as i32 - 20;
    let per_word = from.per_word();
    // A register holds `per_word` neighbours along the depth, four lanes side by side.
    let span = 4 * per_word;
    let mut given = Vec::new();
    for lane in 0..32 {
        let (g, t) = (lane / 4, lane % 4);
        for half in 0..depth / span {
            for row in [g, g + 8] {
                given.push(pack(from, (0..per_word).map(|at| a(row, half * span + t * per_word + at))));
            }
        }
        for half in 0..depth / span {
            given.push(pack(from, (0..per_word).map(|at| b(half * span + t * per_word + at, g))));
        }
        for row in [g, g + 8] {
            for column in (0..2).step_by(to.per_word()) {
                given.push(pack(to, (0..to.per_word()).map(|at| c(row, 2 * t + column + at))));
            }
        }
    }
    let out = 64 * (2 / to.per_word());
    let (words, stats) = run(&text("mma.ptx"), name, [1, 32], &given, out, &Options::default()).unwrap();
    assert_eq!(stats.mma_flops, (2 * M * N * depth) as u64, "{name}");
    let mut words = words.into_iter();
    for lane in 0..32 {
        let (g, t) = (lane / 4, lane % 4);
        for row in [g, g + 8] {
            for column in (0..2).step_by(to.per_word()) {
                let column = 2 * t + column;
                let sum = |column: usize| c(row, column) + (0..depth).map(|k| a(row, k) * b(k, column)).sum::<i32>();
                let wanted = pack(to, (0..to.per_word()).map(|at| sum(column + at)));
                let found = words.next().unwrap();
                assert_eq!(found, wanted, "{name}: row {row}, column {column}: {found:X} instead of {wanted:X}");
            }
        }
    }
}

/// Every form that takes no bytes: name, depth, type of A and B, type of C and D.
const FLOATS: [(&str, usize, Kind, Kind); 8] = [
    ("m16n8k16_f32_bf16_bf16_f32", 16, Kind::Bf16, Kind::F32),
    ("m16n8k16_f32_f16_f16_f32", 16, Kind::F16, Kind::F32),
    ("m16n8k16_f16_f16_f16_f16", 16, Kind::F16, Kind::F16),
    ("m16n8k8_f32_bf16_bf16_f32", 8, Kind::Bf16, Kind::F32),
    ("m16n8k8_f32_f16_f16_f32", 8, Kind::F16, Kind::F32),
    ("m16n8k8_f16_f16_f16_f16", 8, Kind::F16, Kind::F16),
    ("m16n8k8_f32_tf32_tf32_f32", 8, Kind::Tf32, Kind::F32),
    ("m16n8k4_f32_tf32_tf32_f32", 4, Kind::Tf32, Kind::F32),
];

#[test]
fn a_single_one_in_a_picks_a_row_of_b() {
    for (name, depth, from, to) in FLOATS {
        for k in 0..depth {
            let row = (5 * k + 3) % M;
            let one = |at_row, at_k| i32::from((at_row, at_k) == (row, k));
            check(name, depth, from, to, one, |k, column| (k * N + column) as i32 + 1);
        }
    }
}

#[test]
fn products_of_small_numbers_are_exact() {
    let a = |row: usize, k: usize| (row * 3 + k * 5) as i32 % 7 - 3;
    let b = |k: usize, column: usize| (k * 2 + column * 7) as i32 % 9 - 4;
    for (name, depth, from, to) in FLOATS {
        check(name, depth, from, to, a, b);
    }
    for (name, kind) in [("m16n8k32_f32_e4m3_e4m3_f32", Kind::E4m3), ("m16n8k32_f32_e5m2_e5m2_f32", Kind::E5m2)] {
        check(name, 32, kind, Kind::F32, a, b);
    }
    for name in ["m16n8k32_s32_s8_s8_s32", "m16n8k16_s32_s8_s8_s32", "m16n8k16_satfinite_s32_s8_s8_s32"] {
        let depth = if name.contains("k32") { 32 } else { 16 };
        check(name, depth, Kind::Byte, Kind::S32, a, b);
        check(name, depth, Kind::Byte, Kind::S32, |_, _| -128, |_, column| if column == 3 { 127 } else { -128 });
    }
    let (low, high) = (|_: usize, _: usize| -128, |row: usize, k: usize| 255 - (row + k) as i32 % 3);
    check("m16n8k32_s32_u8_s8_s32", 32, Kind::Byte, Kind::S32, high, low);
    check("m16n8k32_s32_s8_u8_s32", 32, Kind::Byte, Kind::S32, low, high);
    check("m16n8k32_s32_u8_u8_s32", 32, Kind::Byte, Kind::S32, high, high);
}

#[test]
fn operands_of_8_bits_may_differ_in_type() {
    // 1 is 38 as e4m3 and 3C as e5m2: 32 products of them onto 2.
    let (e4m3, e5m2, two) = (0x3838_3838, 0x3C3C_3C3C, 0x4000_0000);
    for (name, a, b) in [("m16n8k32_f32_e4m3_e5m2_f32", e4m3, e5m2), ("m16n8k32_f32_e5m2_e4m3_f32", e5m2, e4m3)] {
        let given: Vec<u32> = [[a; 4].as_slice(), &[b; 2], &[two; 4]].concat().repeat(32);
        let (words, _) = run(&text("mma.ptx"), name, [1, 32], &given, 128, &Options::default()).unwrap();
        assert_eq!(words, vec![34f32.to_bits(); 128], "{name}");
    }
}

#[test]
fn doubles_are_multiplied_too() {
    let a = |row: usize, k: usize| (row * 3 + k * 5) as f64 - 0.5;
    let b = |k: usize, column: usize| (k * 2 + column * 7) as f64 + 0.25;
    let c = |row: usize, column: usize| (row * 8 + column) as f64;
    let mut given = Vec::new();
    for lane in 0..32 {
        let (g, t) = (lane / 4, lane % 4);
        for value in [a(g, t), b(t, g), c(g, 2 * t), c(g, 2 * t + 1)] {
            given.extend([value.to_bits() as u32, (value.to_bits() >> 32) as u32]);
        }
    }
    let (words, stats) = run(&text("mma.ptx"), "m8n8k4_f64", [1, 32], &given, 128, &Options::default()).unwrap();
    assert_eq!(stats.mma_flops, 2 * 8 * 8 * 4);
    for (at, found) in words.chunks(2).enumerate() {
        let (row, column) = (at / 8, at % 8);
        let wanted = c(row, column) + (0..4).map(|k| a(row, k) * b(k, column)).sum::<f64>();
        let found = f64::from_bits(u64::from(found[0]) | u64::from(found[1]) << 32);
        assert_eq!(found, wanted, "row {row}, column {column}");
    }
}

#[test]
fn saturation_clamps_where_the_plain_form_wraps() {
    // 16 products of 127 · 127 onto the greatest number.
    let given: Vec<u32> = [[0x7F7F_7F7F; 3].as_slice(), &[0x7FFF_FFFF; 4]].concat().repeat(32);
    for (name, wanted) in [
        ("m16n8k16_s32_s8_s8_s32", 0x7FFF_FFFFu32.wrapping_add(16 * 127 * 127)),
        ("m16n8k16_satfinite_s32_s8_s8_s32", 0x7FFF_FFFF),
    ] {
        let (words, _) = run(&text("mma.ptx"), name, [1, 32], &given, 128, &Options::default()).unwrap();
        assert_eq!(words, vec![wanted; 128], "{name}");
    }
}

#[test]
fn ldmatrix_deals_rows_and_columns() {
    for (count, transposed) in [1, 2, 4].into_iter().flat_map(|count| [(count, false), (count, true)]) {
        let name = format!("ldmatrix_x{count}{}", if transposed { "_trans" } else { "" });
        let (words, _) = run(&text("ldmatrix.ptx"), &name, [1, 32], &[], 32 * count, &Options::default()).unwrap();
        for (lane, found) in words.chunks(count).enumerate() {
            for (matrix, &word) in found.iter().enumerate() {
                let half = |row: usize, column: usize| (64 * matrix + 8 * row + column) as u32;
                let (line, first) = (lane / 4, lane % 4 * 2);
                let [low, high] = if transposed {
                    [half(first, line), half(first + 1, line)]
                } else {
                    [half(line, first), half(line, first + 1)]
                };
                assert_eq!(word, low | high << 16, "{name}: lane {lane}, matrix {matrix}");
            }
        }
    }
}

#[test]
fn stmatrix_is_the_reverse_of_ldmatrix() {
    for (count, transposed) in [1, 2, 4].into_iter().flat_map(|count| [(count, false), (count, true)]) {
        let name = format!("stmatrix_x{count}{}", if transposed { "_trans" } else { "" });
        // The lane and the matrix that an element comes from, and whether it is the upper half.
        let given: Vec<u32> = (0..32 * count as u32).map(|at| (2 * at) | ((2 * at + 1) << 16)).collect();
        let (words, stats) =
            run(&text("stmatrix.ptx"), &name, [1, 32], &given, 32 * count, &Options::default()).unwrap();
        for (at, word) in words.into_iter().enumerate() {
            let (matrix, row, first) = (at / 32, at % 32 / 4, at % 4 * 2);
            for (part, column) in [(0, first), (1, first + 1)] {
                let (line, place) = if transposed { (column, row) } else { (row, column) };
                let lane = 4 * line + place / 2;
                let wanted = 2 * (count * lane + matrix) + place % 2;
                let found = word >> (16 * part) & 0xFFFF;
                assert_eq!(found, wanted as u32, "{name}: matrix {matrix}, row {row}, column {column}");
            }
        }
        assert_eq!(stats.bank_conflicts(), stats.conflicts.iter().map(|c| c.wavefronts - c.ideal).sum::<u64>());
    }
}

#[test]
fn rows_of_stmatrix_that_share_banks_are_counted() {
    // Eight rows of 16 bytes, 128 bytes apart: one pass each.
    let body = |pitch: u32| {
        format!(
            "mad.lo.u32 %r1, %t, {pitch}, 0; and.b32 %r1, %r1, 1023; mov.u32 %r2, tile; add.u32 %r1, %r1, %r2;
            stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r1], %t;"
        )
    };
    for (pitch, wavefronts) in [(16, 1), (128, 8)] {
        let (_, stats) = run(&kernel(&body(pitch)), "k", [1, 32], &[], 1, &Options::default()).unwrap();
        assert_eq!((stats.shared.wavefronts, stats.shared.ideal), (wavefronts, 1), "{pitch}");
    }
}

#[test]
fn movmatrix_transposes() {
    let given: Vec<u32> = (0..32).map(|lane| (2 * lane) | ((2 * lane + 1) << 16)).collect();
    let (words, _) = run(&text("stmatrix.ptx"), "movmatrix", [1, 32], &given, 32, &Options::default()).unwrap();
    for (lane, word) in words.into_iter().enumerate() {
        let (column, row) = (lane / 4, lane % 4 * 2);
        let half = |row: usize| (8 * row + column) as u32;
        assert_eq!(word, half(row) | half(row + 1) << 16, "lane {lane}");
    }
}
