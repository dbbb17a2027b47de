//! `wgmma` against index arithmetic: every element of every operand is where the PTX ISA says, in every layout.

mod support;

use ptx_emulator::{Checks, Copies, Options, Schedule, Stats};
use support::product::{Case, HEAD, Kind, M, Tile};
use support::{run, text};

fn check(case: &Case, a: impl Fn(usize, usize) -> i32, b: impl Fn(usize, usize) -> i32, options: &Options) -> Stats {
    let c = |row: usize, column: usize| {
        if case.sum == Kind::F16 { (row * 3 + column) as i32 % 16 - 8 } else { (row * 256 + column) as i32 - 8000 }
    };
    let (given, shared) = case.given(&a, &b, &c);
    let text = HEAD.to_owned() + &case.text("k", shared, &case.body());
    let (words, stats) = run(&text, "k", [1, 128], &given, 128 * case.registers(), options)
        .unwrap_or_else(|error| panic!("{case:?}: {error}"));
    let sign = if case.negates[0] != case.negates[1] { -1 } else { 1 };
    for (at, found) in words.into_iter().enumerate() {
        let (thread, register) = (at / case.registers(), at % case.registers());
        let width = 8 * case.sum.bytes();
        for (part, (row, column)) in case.places(thread, register).into_iter().enumerate() {
            let product: i32 = (0..case.depth()).map(|k| a(row, k) * b(k, column)).sum();
            let wanted = case.sum.bits(sign * product + if case.adds { c(row, column) } else { 0 });
            let found = found >> (part * width) & (u32::MAX >> (32 - width));
            assert_eq!(found, wanted, "{case:?}: row {row}, column {column}: {found:X}, not {wanted:X}");
        }
    }
    stats
}

fn small(row: usize, k: usize) -> i32 {
    (row * 5 + k * 3) as i32 % 7 - 3
}

/// 1 where the depth is the row's, or the column's, place in a run of 16.
fn one_hot(depth: usize) -> impl Fn(usize, usize) -> i32 {
    move |row, k| i32::from(row % depth == k)
}

#[test]
fn every_layout_of_halves_is_read_where_the_manual_says() {
    let options = Options { threads: 1, ..Options::default() };
    for (columns, span, turned) in
        [8, 64, 128, 256].into_iter().flat_map(|columns| [16, 32, 64, 128].map(|span| (columns, span))).flat_map(
            |(columns, span)| [(false, false), (false, true), (true, false), (true, true)].map(|t| (columns, span, t)),
        )
    {
        let mut case = Case::new(columns, Kind::F32, Kind::Bf16, Kind::Bf16);
        case.tile_a = Some(Tile::new(span, turned.0, 0));
        case.tile_b = Tile::new(span, turned.1, 16384);
        let value = |row: usize, k: usize| (row * 37 + k * 11 + 1) as i32 % 255;
        let depth = case.depth();
        // D holds A, D holds B, and a product of both.
        check(&case, value, |k, column| one_hot(depth)(column, k), &options);
        check(&case, one_hot(depth), |k, column| value(column, k), &options);
        check(&case, small, |k, column| small(column + 1, k), &options);
    }
}

#[test]
fn every_type_multiplies_from_shared_memory_and_from_registers() {
    let kinds = [
        (Kind::F32, Kind::Bf16, Kind::Bf16),
        (Kind::F32, Kind::F16, Kind::F16),
        (Kind::F16, Kind::F16, Kind::F16),
        (Kind::F32, Kind::Tf32, Kind::Tf32),
        (Kind::F32, Kind::E4m3, Kind::E4m3),
        (Kind::F32, Kind::E4m3, Kind::E5m2),
        (Kind::F16, Kind::E5m2, Kind::E4m3),
        (Kind::F16, Kind::E5m2, Kind::E5m2),
        (Kind::S32, Kind::S8, Kind::S8),
        (Kind::S32, Kind::U8, Kind::S8),
        (Kind::S32, Kind::S8, Kind::U8),
        (Kind::S32, Kind::U8, Kind::U8),
    ];
    let options = Options { threads: 1, ..Options::default() };
    for ((sum, a, b), columns) in kinds.into_iter().flat_map(|kinds| [24, 64].map(|columns| (kinds, columns))) {
        for (in_registers, span) in [(false, 16), (false, 32), (false, 64), (false, 128), (true, 16), (true, 128)] {
            let mut case = Case::new(columns, sum, a, b);
            case.tile_a = (!in_registers).then(|| Tile::new(span, false, 0));
            case.tile_b = Tile::new(span, false, 16384);
            let unsigned = |kind: Kind, value: i32| if kind == Kind::U8 { value + 3 } else { value };
            let [a, b] = [a, b].map(|kind| move |row, k| unsigned(kind, small(row, k)));
            check(&case, a, |k, column| b(column + 2, k), &options);
            case.adds = false;
            case.negates = [sum != Kind::S32, false];
            check(&case, a, |k, column| b(column + 2, k), &options);
        }
    }
}

#[test]
fn every_number_of_columns_runs() {
    let options = Options { threads: 1, ..Options::default() };
    for columns in (8..=256).step_by(8) {
        for (sum, a) in [(Kind::F32, Kind::F16), (Kind::F16, Kind::F16), (Kind::S32, Kind::S8)] {
            if a == Kind::S8 && columns > 24 && columns % 16 != 0 {
                continue;
            }
            let stats = check(&Case::new(columns, sum, a, a), small, |k, column| small(column + 3, k), &options);
            let depth = 32 / a.bytes();
            assert_eq!(stats.mma_flops, (2 * M * columns * depth) as u64);
            let name = format!("wgmma.mma_async.sync.aligned.m64n{columns}k{depth}.{}.{}.{1}", sum.name(), a.name());
            assert_eq!(stats.mma.get(&name), Some(&4), "{:?}", stats.mma);
            assert_eq!(stats.bank_conflicts(), 0);
        }
    }
}

#[test]
fn steps_of_the_depth_and_rows_of_the_tile_are_reached_by_the_start() {
    // Inside a pattern of 128 bytes: three steps of 32 bytes on, and 24 rows down.
    for start in [96, 24 * 128 + 32] {
        let mut case = Case::new(64, Kind::F32, Kind::F16, Kind::F16);
        case.tile_a = Some(Tile::new(128, false, start));
        case.tile_b = Tile::new(128, false, 16384 + start);
        check(&case, small, |k, column| small(column, k + 1), &Options::default());
    }
}

#[test]
fn when_operands_are_read_and_who_runs_first_changes_nothing() {
    let case = Case { tile_a: None, ..Case::new(128, Kind::F32, Kind::Bf16, Kind::Bf16) };
    for schedule in [Schedule::InOrder, Schedule::Reverse, Schedule::RoundRobin(1), Schedule::Random] {
        for copies in [Copies::Latest, Copies::Earliest] {
            let options = Options { schedule, copies, ..Options::default() };
            let stats = check(&case, small, |k, column| small(column, k + 1), &options);
            // A wait that is tried again counts once.
            assert_eq!(stats.families["sync"], 4 * 5, "{schedule:?}");
        }
    }
}

/// A kernel of `tests/ptx/wgmma.ptx` for each row of the table: its name, and what it multiplies.
fn cases_of_the_table() -> Vec<(String, Case)> {
    let kinds = [
        (Kind::F32, Kind::Bf16, Kind::Bf16),
        (Kind::F32, Kind::F16, Kind::F16),
        (Kind::F16, Kind::F16, Kind::F16),
        (Kind::F32, Kind::Tf32, Kind::Tf32),
        (Kind::F32, Kind::E4m3, Kind::E5m2),
        (Kind::F16, Kind::E5m2, Kind::E4m3),
        (Kind::S32, Kind::S8, Kind::U8),
    ];
    let case = |((sum, a, b), in_registers): ((Kind, Kind, Kind), bool)| {
        let mut case = Case::new(8, sum, a, b);
        if in_registers {
            case.tile_a = None;
        }
        let from = if in_registers { "registers" } else { "shared" };
        (format!("{}_{}_{}_{from}", sum.name(), a.name(), b.name()), case)
    };
    let mut all: Vec<_> = kinds.into_iter().flat_map(|kinds| [(kinds, false), (kinds, true)]).map(case).collect();
    let clamped = Case { clamps: true, ..Case::new(8, Kind::S32, Kind::U8, Kind::U8) };
    all.push(("s32_u8_u8_shared_satfinite".to_owned(), clamped));
    all
}

#[test]
fn the_kernels_of_the_table_multiply() {
    let mut wanted = HEAD.to_owned()
        + "// One wgmma of eight columns each; tests/wgmma.rs writes these texts, and says what they are given and what comes out.\n";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ptx/wgmma.ptx");
    for (name, case) in cases_of_the_table() {
        let shift = if case.b == Kind::U8 { 3 } else { 0 };
        let a = |row, k| small(row, k) + if case.a == Kind::U8 { 3 } else { 0 };
        let b = |k, column| small(column, k) + shift;
        let (given, shared) = case.given(&a, &b, &|_, _| 1);
        wanted += &case.text(&name, shared, &case.body());
        if std::env::var_os("BLESS").is_some() {
            continue;
        }
        let (words, _) =
            run(&text("wgmma.ptx"), &name, [1, 128], &given, 128 * case.registers(), &Options::default()).unwrap();
        // Row 0 and column 0, in the first thread.
        let product: i32 = (0..case.depth()).map(|k| a(0, k) * b(k, 0)).sum();
        assert_eq!(words[0] & (u32::MAX >> (32 - 8 * case.sum.bytes())), case.sum.bits(1 + product), "{name}");
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    assert_eq!(
        text("wgmma.ptx"),
        wanted,
        "tests/ptx/wgmma.ptx is stale: BLESS=1 cargo test -p ptx-emulator --test wgmma"
    );
}

#[test]
fn integers_wrap_or_are_clamped() {
    for (clamps, wanted) in [(false, i32::MAX.wrapping_add(32 * 127 * 127)), (true, i32::MAX)] {
        let case = Case { clamps, ..Case::new(8, Kind::S32, Kind::S8, Kind::S8) };
        let (given, shared) = case.given(&|_, _| 127, &|_, _| 127, &|_, _| i32::MAX);
        let text = HEAD.to_owned() + &case.text("k", shared, &case.body());
        let (words, _) = run(&text, "k", [1, 128], &given, 512, &Options::default()).unwrap();
        assert_eq!(words, vec![wanted as u32; 512]);
    }
}

#[test]
fn shared_operands_are_read_at_the_wait_at_the_latest() {
    // One row of B is overwritten behind the product: with zeros, after all have issued.
    let case = Case::new(8, Kind::F32, Kind::Bf16, Kind::Bf16);
    let body = case.body().replace(
        "wgmma.wait_group",
        "bar.sync 0; mad.lo.u32 %r3, %t, 8, tile; st.shared.u32 [%r3+8192], 0; st.shared.u32 [%r3+8196], 0; bar.sync 0;
        wgmma.wait_group",
    );
    let (given, shared) = case.given(&|_, _| 1, &|_, _| 1, &|_, _| 0);
    let text = HEAD.to_owned() + &case.text("k", shared, &body);
    for (copies, wanted) in [(Copies::Latest, 0f32), (Copies::Earliest, 16.0)] {
        let options = Options { copies, checks: Checks::None, ..Options::default() };
        let (words, _) = run(&text, "k", [1, 128], &given, 512, &options).unwrap();
        assert_eq!(words, vec![wanted.to_bits(); 512], "{copies:?}");
    }
}

#[test]
fn products_of_a_group_add_up_in_their_order() {
    // Six on the same registers, of which the third begins anew: four of them count, each with a B of its own.
    let case = Case::new(64, Kind::F32, Kind::F16, Kind::F16);
    for in_registers in [false, true] {
        let case = if in_registers { Case { tile_a: None, ..case } } else { case };
        let product = case.instruction();
        let step = |at: usize| format!("add.s64 %l{}, %l2, {};", 3 + at % 5, 2 * at);
        let named = |at: usize, adds: &str| product.replace("%l2, %p0", &format!("%l{}, {adds}", 3 + at % 5));
        let body = (0..6).map(|at| format!("{}\n{}", step(at % 4), named(at % 4, if at == 2 { "0" } else { "%p0" })));
        let body: Vec<String> = body.collect();
        let body = case.body().replace(&product, &body.join("\n"));
        // A row of B holds four steps of the depth.
        let wide = |row: usize, k: usize| small(row + 1, k) + (k / 16) as i32;
        let (mut given, shared) = case.given(&small, &|k, column| wide(column, k), &|_, _| 1000);
        for (column, k) in (0..64).flat_map(|column| (0..64).map(move |k| (column, k))) {
            let at = case.tile_b.byte(column, k, 2);
            let shift = at % 4 * 8;
            given[at / 4] = given[at / 4] & !(0xFFFF << shift) | Kind::F16.bits(wide(column, k)) << shift;
        }
        let text = HEAD.to_owned() + &case.text("k", shared, &body);
        let (words, _) = run(&text, "k", [1, 128], &given, 128 * case.registers(), &Options::default()).unwrap();
        for (at, found) in words.into_iter().enumerate() {
            let (row, column) = case.places(at / case.registers(), at % case.registers())[0];
            let of = |step: usize| (0..16).map(|k| small(row, k) * wide(column, 16 * step + k)).sum::<i32>();
            let wanted = of(2) + of(3) + of(0) + of(1);
            assert_eq!(found, Kind::F32.bits(wanted), "row {row}, column {column}");
        }
    }
}
