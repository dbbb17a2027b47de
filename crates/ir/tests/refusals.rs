//! Sizes, tables, inputs and moments that are not what was declared: each a finding, before anything is made of them.

use sparsym_ir::bind::{Bindings, Bound, InputData, Moment, TableData};
use sparsym_ir::problem::{Layout, LayoutRange, Ragged};
use sparsym_ir::projection::Stream;
use sparsym_ir::strategy::{Blocks, Element, Input, Scalar, Strategy, Table, TableAxis};
use sparsym_ir::{Code, Findings, Problem, Span};

/// What both size checks say: of the problem alone, and of a call.
fn refused(problem: &Problem, code: Code) -> String {
    let strategy = Strategy::dense();
    let bindings = Bindings::defaults(&strategy);
    let findings = Bound::new(&strategy, problem, &bindings).unwrap_err();
    assert_eq!(problem.check().unwrap_err(), findings);
    only(&findings, code)
}

fn only(findings: &Findings, code: Code) -> String {
    assert!(findings.iter().all(|finding| finding.code == code), "{findings}");
    findings.to_string()
}

fn small() -> Problem {
    Problem::self_attention(1, 32, 2, 64)
}

#[test]
fn sizes_that_are_zero_or_overflow() {
    const HUGE: [usize; 5] = [0, (1 << 30) + 1, 1 << 40, 4_294_967_424, usize::MAX];
    for extent in HUGE {
        for problem in [
            Problem { batch: extent, ..small() },
            Problem { n_q: extent, ..small() },
            Problem { n_kv: extent, ..small() },
            Problem { heads: extent, ..small() },
            Problem { kv_heads: extent, ..small() },
            Problem { head_dim: extent, ..small() },
            Problem::self_attention(extent, extent, extent, extent),
        ] {
            refused(&problem, Code::TensorShape);
        }
    }
    // Each extent may be, but not their product: of elements, and of bits.
    refused(&Problem { batch: 1 << 30, n_q: 1 << 30, n_kv: 1, ..small() }, Code::TensorShape);
    refused(&Problem::self_attention(1 << 20, 1 << 20, 1 << 15, 1 << 15), Code::TensorShape);
    let symbols = refused(&Problem::self_attention(1, 1 << 30, 1, 64), Code::SymbolShape);
    assert!(symbols.contains("s_s [B, H, T_q, T_kv] = [1, 1, 8388608, 8388608] is too large: 8192 GiB"), "{symbols}");
    let message = refused(&Problem { n_q: 0, n_kv: 0, ..small() }, Code::TensorShape);
    assert!(message.contains("query length N is 0") && message.contains("key length N_kv is 0"), "{message}");
}

#[test]
fn blocks_are_bounded_and_their_help_can_be_followed() {
    for block in [0, 65_537, 4_294_967_280, u32::MAX] {
        for blocks in [Blocks { q: block, kv: 64 }, Blocks { q: 64, kv: block }] {
            let message = refused(&Problem { blocks, ..small() }, Code::BlockSize);
            assert!(message.contains("use a multiple of 16 from 16 to 65536"), "{message}");
        }
    }
    for (block, help) in [(1, "use 16"), (65_535, "use 65536"), (17, "use 32")] {
        let problem = Problem { blocks: Blocks { q: block, kv: 16 }, ..small() };
        problem.check().unwrap();
        let findings = problem.check_attention_blocks().unwrap_err();
        assert!(only(&findings, Code::BlockSize).contains(help), "{findings}");
    }
    Problem { blocks: Blocks { q: 65_536, kv: 65_536 }, ..small() }.check_attention_blocks().unwrap();
}

#[test]
fn layouts_that_overflow() {
    let with = |layout: Layout, n: usize| Problem { layout, ..Problem::self_attention(1, n, 1, 64) };
    for grid in [[1 << 30; 3], [usize::MAX; 3], [1 << 21, 1 << 21, 1 << 21], [1, 0, 1 << 40], [0, 1 << 30, 1 << 30]] {
        refused(&with(Layout::text_front(32, grid), 32), Code::TokenLayout);
    }
    refused(&with(Layout::text_front(usize::MAX, [1, 2, 16]), 32), Code::TokenLayout);
    let twice = vec![LayoutRange::plain("text", 16), LayoutRange::plain("text", 16)];
    assert!(refused(&with(Layout { ranges: twice }, 32), Code::TokenLayout).contains("two ranges text"));
    with(Layout::text_front(32, [0, 4, 4]), 32).check().unwrap();
    let ragged = Some(Ragged { q: vec![0, 32], kv: vec![0, 32] });
    refused(&Problem { batch: usize::MAX, ragged, ..small() }, Code::TensorShape);
}

#[test]
fn streams_that_are_zero_or_overflow() {
    let stream = Stream { batch: 1, tokens: 32, first: 0, rows: 32, width: 64, heads: 2, head_dim: 64, block: 16 };
    stream.check().unwrap();
    Stream { rows: 0, ..stream }.check().unwrap();
    for extent in [0, 1 << 40, usize::MAX] {
        for wrong in [
            Stream { batch: extent, ..stream },
            Stream { tokens: extent, rows: 0, ..stream },
            Stream { width: extent, ..stream },
            Stream { heads: extent, ..stream },
            Stream { head_dim: extent, ..stream },
        ] {
            only(&wrong.check().unwrap_err(), Code::TensorShape);
        }
        only(&Stream { block: extent, ..stream }.check().unwrap_err(), Code::BlockSize);
    }
    only(&Stream { heads: 1 << 20, head_dim: 1 << 20, ..stream }.check().unwrap_err(), Code::TensorShape);
    only(&Stream { first: usize::MAX, ..stream }.check().unwrap_err(), Code::TokenLayout);
    only(&Stream { rows: usize::MAX, ..stream }.check().unwrap_err(), Code::TokenLayout);
}

fn with_table(axes: &[TableAxis], scalar: Scalar, variants: &[&str]) -> Strategy {
    let table = Table {
        name: "width".to_owned(),
        doc: String::new(),
        axes: axes.to_vec(),
        element: Element::One(scalar),
        variants: variants.iter().map(|&name| name.to_owned()).collect(),
        span: Span::default(),
    };
    Strategy { tables: vec![table], ..Strategy::dense() }
}

fn table(shape: &[usize], values: &[f32]) -> Bindings {
    Bindings { tables: vec![TableData { shape: shape.to_vec(), values: values.to_vec() }], ..Bindings::default() }
}

#[test]
fn tables_have_an_entry_for_each_head_layer_and_step() {
    let strategy = with_table(&[TableAxis::Step, TableAxis::Layer, TableAxis::Head], Scalar::I32, &[]);
    let problem = Problem::self_attention(1, 32, 4, 64);
    let zeros = |shape: &[usize]| table(shape, &vec![0.0; shape.iter().product()]);
    for heads in [2, 3, 5, 8] {
        let message = only(&Bound::new(&strategy, &problem, &zeros(&[1, 1, heads])).unwrap_err(), Code::TableShape);
        assert!(message.contains(&format!("has {heads} entries along head for 4 heads")), "{message}");
    }
    let at = |shape: &[usize], step, steps, layer| {
        let bindings = zeros(shape);
        let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
        bound.check_moment(&Moment { step, steps, since_update: 0, layer }).map_err(|findings| findings.to_string())
    };
    at(&[1, 1, 1], 49, 50, 99).unwrap();
    at(&[50, 3, 4], 49, 50, 2).unwrap();
    assert!(at(&[3, 1, 4], 0, 50, 0).unwrap_err().contains("has 3 entries along step for 50 steps"));
    assert!(at(&[51, 1, 4], 0, 50, 0).unwrap_err().contains("for 50 steps"));
    assert!(at(&[1, 3, 4], 0, 50, 3).unwrap_err().contains("has 3 entries along layer for layer 3"));
    for shape in [vec![], vec![1, 1], vec![1, 1, 0], vec![usize::MAX, 2, 1], vec![1 << 32, 1 << 32, 1]] {
        let bindings = Bindings { tables: vec![TableData { shape, values: vec![0.0; 2] }], ..Bindings::default() };
        only(&Bound::new(&strategy, &problem, &bindings).unwrap_err(), Code::TableShape);
    }
}

#[test]
fn runs_have_steps_and_steps_are_among_them() {
    let moment = |step, steps| Moment { step, steps, since_update: 0, layer: 0 };
    moment(0, 1).check().unwrap();
    moment(49, 50).check().unwrap();
    assert_eq!(Moment::default(), moment(0, 1));
    for (step, steps) in [(0, 0), (1, 1), (50, 50), (0, u32::MAX), (u32::MAX, u32::MAX), (0, (1 << 20) + 1)] {
        assert_eq!(moment(step, steps).check().unwrap_err().code, Code::StepOutside, "{step} of {steps}");
    }
    assert_eq!(Moment { layer: u32::MAX, ..moment(0, 1) }.check().unwrap_err().code, Code::StepOutside);
}

/// Values that a type does not have, and some that it has.
const VALUES: [(Scalar, &[f32], &[f32]); 4] = [
    (Scalar::U32, &[-1.0, 0.5, 16_777_216.0, 4_294_967_296.0, f32::NAN, f32::INFINITY], &[0.0, -0.0, 16_777_215.0]),
    (Scalar::I32, &[0.5, -16_777_216.0, 16_777_216.0, 3e9, f32::NAN, f32::NEG_INFINITY], &[-3.0, 16_777_215.0]),
    (Scalar::Bool, &[2.0, -1.0, 0.5, f32::NAN, f32::INFINITY], &[0.0, 1.0]),
    (Scalar::F32, &[], &[0.5, -1e30]),
];

#[test]
fn values_are_of_the_declared_type() {
    for (scalar, wrong, right) in VALUES {
        let input = Input { name: "x".to_owned(), doc: String::new(), scalar, span: Span::default() };
        let of_input = Strategy { inputs: vec![input], ..Strategy::dense() };
        let of_table = with_table(&[TableAxis::Head], scalar, &[]);
        let problem = Problem::self_attention(1, 32, 1, 64);
        let input = |v: f32| {
            let mut values = vec![0.0; 32];
            values[5] = v;
            let bindings = Bindings { inputs: vec![InputData { values }], ..Bindings::default() };
            Bound::new(&of_input, &problem, &bindings).map(drop)
        };
        let table = |v: f32| Bound::new(&of_table, &problem, &table(&[1], &[v])).map(drop);
        for &v in right {
            input(v).unwrap();
            table(v).unwrap();
        }
        for &v in wrong {
            let message = only(&input(v).unwrap_err(), Code::InputShape);
            assert!(message.contains(&format!("holds {v} at [0, 5]")), "{message}");
            only(&table(v).unwrap_err(), Code::TableShape);
        }
    }
    // An input of floats may hold anything, for instance the logarithm of a weight of 0; a table may not.
    let table = Bound::new(&with_table(&[TableAxis::Head], Scalar::F32, &[]), &small(), &table(&[1], &[f32::INFINITY]))
        .map(drop)
        .unwrap_err();
    only(&table, Code::TableShape);
}

#[test]
fn wrong_entries_are_listed_and_counted() {
    let strategy = with_table(&[TableAxis::Layer, TableAxis::Head], Scalar::U32, &["full", "arrow"]);
    let bindings = Bindings::defaults(&strategy);
    let names = ["full", "arow", "ful", "arrow", "none", "nil", "what", "arrow"];
    let finding = bindings.clone().table(&strategy, "width", &[4, 2], names).unwrap_err();
    assert_eq!(
        finding.to_string(),
        "[S509] table width holds \"arow\" at [0, 1], \"ful\" at [1, 0], \"none\" at [2, 0] and 2 more, which is none of \
         its names\nhelp: did you mean arrow? its names are full, arrow"
    );
    let numbers: Vec<f32> = vec![2.0; 1000];
    let finding = bindings.clone().table(&strategy, "width", &[500, 2], numbers).unwrap_err().to_string();
    assert!(finding.contains("2 at [0, 0], 2 at [0, 1], 2 at [1, 0] and 997 more"), "{finding}");
    let finding = bindings.clone().table(&strategy, "widht", &[1, 1], [0.0]).unwrap_err();
    assert_eq!((finding.code, finding.help.as_str()), (Code::UnknownName, "did you mean width? its tables are width"));
    assert!(bindings.clone().table(&strategy, "width", &[2, 2], ["full"]).unwrap_err().message.contains("1 names"));
    let bound = bindings.table(&strategy, "width", &[1, 2], ["arrow", "full"]).unwrap();
    assert_eq!(bound.tables, [TableData { shape: vec![1, 2], values: vec![1.0, 0.0] }]);
}

#[test]
fn inputs_by_name_have_the_shape_b_n() {
    let input = Input { name: "doc".to_owned(), doc: String::new(), scalar: Scalar::I32, span: Span::default() };
    let strategy = Strategy { inputs: vec![input], ..Strategy::dense() };
    let problem = Problem::self_attention(2, 30, 1, 64);
    let give =
        |shape: &[usize], n| Bindings::defaults(&strategy).input(&strategy, &problem, "doc", shape, vec![0.0; n]);
    give(&[2, 30], 60).unwrap();
    let finding = give(&[30, 2], 60).unwrap_err();
    assert_eq!(finding.message, "input doc has shape [30, 2]");
    assert_eq!(finding.help, "this problem needs [B, N] = [2, 30]; it is [N, B], so transpose it");
    for shape in [&[60][..], &[30], &[2, 30, 1], &[1, 60], &[]] {
        assert_eq!(give(shape, 60).unwrap_err().code, Code::InputShape, "{shape:?}");
    }
    let one = Problem::self_attention(1, 30, 1, 64);
    Bindings::defaults(&strategy).input(&strategy, &one, "doc", &[30], vec![0.0; 30]).unwrap();
}

#[test]
fn bindings_of_another_strategy_are_said_to_be() {
    let strategy = with_table(&[TableAxis::Head], Scalar::F32, &[]);
    let problem = small();
    let message = only(&Bound::new(&strategy, &problem, &Bindings::default()).unwrap_err(), Code::UnknownName);
    assert!(message.contains("declares 1 table(s), and these bindings have 0"), "{message}");
    assert!(message.contains("they were made for another strategy"), "{message}");
}
