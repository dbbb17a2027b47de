//! Classification and evaluation against brute force on random rules, and the published fixtures of static strategies.

#[path = "classify/random.rs"]
mod random;

use proptest::prelude::*;
use proptest::strategy::{Strategy as _, ValueTree as _};
use random::{Setting, at, binary, call, expr, global, in_range, int};
use sparsym::ir::bind::TableData;
use sparsym::ir::expr::{BinaryOp, Coordinate, ExprKind, Function, Global, Side, Type};
use sparsym::ir::strategy::{
    Action, BlockRule, Blocks, Element, Grid, Scalar, Schedule, Table, TableAxis, TableId, TokenRange, TokenRule, When,
};
use sparsym::ir::symbols::SkipSymbol;
use sparsym::ir::{Bindings, Bound, Expr, Layout, Moment, Problem, Span, Strategy};
use sparsym::machinery::classify::{Classifier, Coverage, Doubt};
use sparsym::machinery::eval::{Prepared, StepKind};
use sparsym::machinery::static_symbols::static_symbols;
use sparsym_reference::rules::Reader;
use sparsym_reference::symbols as reference;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_false_empty_and_no_false_full(setting in random::any_setting()) {
        each_pair(&setting, |coverage, passing, pairs, place| {
            match coverage {
                Coverage::Empty => prop_assert_eq!(passing, 0, "false empty at {}", place),
                Coverage::Full => prop_assert!(pairs > 0 && passing == pairs, "false full at {}", place),
                Coverage::Partial => {}
            }
            Ok(())
        })?;
    }

    #[test]
    fn affine_masks_are_classified_exactly(setting in random::affine_setting()) {
        each_pair(&setting, exactly)?;
    }

    #[test]
    fn neighbourhoods_on_a_grid_are_classified_exactly(setting in random::neighbourhood_setting()) {
        each_pair(&setting, exactly)?;
    }

    #[test]
    fn comparisons_of_one_coordinate_are_classified_exactly(setting in random::grid_setting()) {
        each_pair(&setting, exactly)?;
    }

    #[test]
    fn three_evaluators_agree(setting in random::scored_setting()) {
        let bound = setting.bound();
        let (mask, score) = (setting.rules.mask.as_ref().unwrap(), setting.rules.score.as_ref().unwrap());
        for (b, h) in batch_and_heads(&setting.problem) {
            let reader = Reader::new(&bound, setting.moment, b, h);
            let [masks, scores] = [mask, score].map(|rule| Prepared::new(&bound, setting.moment, b, h, &rule.value));
            let (n_q, n_kv) = (setting.problem.q_rows(b).len(), setting.problem.kv_rows(b).len());
            for q in (0..n_q).step_by(3) {
                let first = q % n_kv.max(1); // rows need not start at 0
                let logits: Vec<f32> = (first..n_kv).map(|kv| ((q * 7 + kv * 13) % 29) as f32 - 14.5).collect();
                let (mut row, mut scored) = (vec![false; logits.len()], logits.clone());
                masks.mask_row(q, first, &mut row);
                scores.score_row(q, first, &mut scored);
                for (n, kv) in (first..n_kv).enumerate() {
                    let expected = reader.mask(q, kv);
                    prop_assert_eq!(bound.mask_at(&setting.moment, b, h, q, kv), expected, "mask at {} {}", q, kv);
                    prop_assert_eq!(row[n], expected, "prepared mask at {} {}", q, kv);
                    let expected = reader.score(q, kv, logits[n]).unwrap();
                    let same = |x: f32| x == expected || x.is_nan() && expected.is_nan();
                    prop_assert!(same(bound.score_at(&setting.moment, logits[n], b, h, q, kv)), "score at {} {}", q, kv);
                    prop_assert!(same(scored[n]), "prepared score at {} {}: {} {}", q, kv, scored[n], expected);
                }
            }
        }
    }

    #[test]
    fn static_symbols_are_those_of_the_reference(setting in random::block_rules_setting()) {
        let bound = setting.bound();
        let (found, expected) = (static_symbols(&bound, &setting.moment), reference::static_symbols(&bound, &setting.moment));
        prop_assert_eq!(found.cache.unpack(), expected.cache.unpack(), "s_c");
        prop_assert_eq!(found.skip.unpack(), expected.skip.unpack(), "s_s");
        prop_assert_eq!(found.full.map(|s_f| s_f.unpack()), expected.full.map(|s_f| s_f.unpack()), "s_f");
    }
}

/// Calls `check` with the verdict on every block pair, its passing token pairs, and all of them.
fn each_pair(
    setting: &Setting,
    check: impl Fn(Coverage, usize, usize, String) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let bound = setting.bound();
    let classifier = Classifier::new(&bound, &setting.moment);
    for (b, h) in batch_and_heads(&setting.problem) {
        let reader = Reader::new(&bound, setting.moment, b, h);
        for i in 0..setting.problem.q_blocks() {
            for j in 0..setting.problem.kv_blocks() {
                let (passing, pairs) = reference::count(&bound, &reader, b, i, j);
                check(classifier.classify(b, h, i, j), passing, pairs, format!("b {b} h {h} i {i} j {j}"))?;
            }
        }
    }
    Ok(())
}

/// Of random masks of every kind, how many empty and full block pairs are called partial. A mask with a remainder or an
/// unsorted input may be; hardly any other.
#[test]
fn few_block_pairs_are_partial_needlessly() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (needless, settled) = (std::cell::Cell::new(0_usize), std::cell::Cell::new(0_usize));
    for _ in 0..300 {
        let setting = random::any_setting().new_tree(&mut runner).unwrap().current();
        let counted = each_pair(&setting, |coverage, passing, pairs, _| {
            if passing == 0 || passing == pairs {
                settled.set(settled.get() + 1);
                needless.set(needless.get() + usize::from(coverage == Coverage::Partial));
            }
            Ok(())
        });
        counted.unwrap();
    }
    let (needless, settled) = (needless.get(), settled.get());
    println!("{needless} of {settled} empty or full block pairs are called partial");
    assert!(needless * 50 < settled, "{needless} of {settled}");
}

/// Issue inputs: at the sizes of a video, by brute force over a few rows of blocks.
#[test]
fn cells_of_a_video_are_classified_exactly() {
    let cell = |side| at(side, Coordinate::Cell);
    let difference = binary(BinaryOp::Sub, cell(Side::Q), cell(Side::Kv));
    let near = |axis, reach| {
        let difference = binary(BinaryOp::Sub, at(Side::Q, axis), at(Side::Kv, axis));
        binary(BinaryOp::Le, call(Function::Abs, vec![difference], Type::Int), int(reach))
    };
    let and = |a, b| binary(BinaryOp::And, a, b);
    let masks = [
        ("q.cell == kv.cell", binary(BinaryOp::Eq, cell(Side::Q), cell(Side::Kv))),
        (
            "abs(q.cell - kv.cell) <= 80",
            binary(BinaryOp::Le, call(Function::Abs, vec![difference], Type::Int), int(80)),
        ),
        (
            "abs(q.t - kv.t) <= 2 && abs(q.h - kv.h) <= 4 && abs(q.w - kv.w) <= 6",
            and(near(Coordinate::T, 2), and(near(Coordinate::H, 4), near(Coordinate::W, 6))),
        ),
    ];
    for (words, mask) in masks {
        for tiled in [None, Some([3, 9, 8])] {
            let grid = tiled.map_or(Grid::Raster, Grid::Tiled);
            let range = |name: &str, grid| TokenRange { name: name.to_owned(), grid, span: Span::default() };
            let rules = Strategy {
                tokens: vec![range("text", None), range("vision", Some(grid))],
                mask: Some(TokenRule { value: mask.clone(), span: Span::default() }),
                ..Strategy::dense()
            };
            let layout = Layout::text_front(256, [9, 45, 80]);
            let problem = Problem { layout: layout.clone(), ..Problem::self_attention(1, layout.len(), 1, 64) };
            let setting = Setting { rules, problem, bindings: Bindings::default(), moment: Moment::default() };
            let bound = setting.bound();
            let classifier = Classifier::new(&bound, &setting.moment);
            let prepared = Prepared::new(&bound, setting.moment, 0, 0, &setting.rules.mask.as_ref().unwrap().value);
            let (mut kept, mut all) = (0, 0);
            for i in (0..setting.problem.q_blocks()).step_by(41) {
                for j in 0..setting.problem.kv_blocks() {
                    let mut passing = 0;
                    let columns = (j * 128..((j + 1) * 128).min(setting.problem.n_kv)).len();
                    let rows = i * 128..((i + 1) * 128).min(setting.problem.n_q);
                    for q in rows.clone() {
                        let mut row = vec![false; columns];
                        prepared.mask_row(q, j * 128, &mut row);
                        passing += row.iter().filter(|&&pass| pass).count();
                    }
                    let coverage = classifier.classify(0, 0, i, j);
                    exactly(coverage, passing, rows.len() * columns, format!("{words} i {i} j {j} {tiled:?}")).unwrap();
                    (kept, all) = (kept + usize::from(coverage != Coverage::Empty), all + 1);
                }
            }
            println!(
                "{words}, tiles {tiled:?}: {:.1} % of block pairs are computed",
                100.0 * f64::from(kept as u32) / f64::from(all)
            );
        }
    }
}

fn exactly(coverage: Coverage, passing: usize, pairs: usize, place: String) -> Result<(), TestCaseError> {
    let expected = match passing {
        0 => Coverage::Empty,
        _ if passing == pairs => Coverage::Full,
        _ => Coverage::Partial,
    };
    prop_assert_eq!(coverage, expected, "at {}: {} of {} pairs pass", place, passing, pairs);
    Ok(())
}

fn batch_and_heads(problem: &Problem) -> Vec<(usize, usize)> {
    (0..problem.batch).flat_map(|b| (0..problem.heads).map(move |h| (b, h))).collect()
}

#[test]
fn an_infinite_reach_wraps_and_is_left_to_the_element_test() {
    let far = binary(BinaryOp::Add, at(Side::Q, Coordinate::Pos), int(i64::from(i32::MAX)));
    let mask = binary(BinaryOp::Le, at(Side::Kv, Coordinate::Pos), far);
    let setting = Setting {
        rules: Strategy { mask: Some(TokenRule { value: mask, span: Span::default() }), ..Strategy::dense() },
        problem: Problem::self_attention(1, 256, 1, 64),
        bindings: Bindings::default(),
        moment: Moment::default(),
    };
    let bound = setting.bound();
    assert!(bound.mask_at(&setting.moment, 0, 0, 0, 9));
    assert!(!bound.mask_at(&setting.moment, 0, 0, 1, 9), "1 + i32::MAX wraps");
    assert_eq!(Classifier::new(&bound, &setting.moment).classify(0, 0, 0, 0), Coverage::Partial);
}

#[test]
fn what_cannot_be_classified_is_named() {
    let named = |mask: Expr, n: usize| {
        let setting = Setting {
            rules: Strategy { mask: Some(TokenRule { value: mask, span: Span::default() }), ..Strategy::dense() },
            problem: Problem::self_attention(1, n, 1, 64),
            bindings: Bindings::default(),
            moment: Moment::default(),
        };
        let bound = setting.bound();
        let found = Classifier::new(&bound, &setting.moment).unclassified(4);
        found.iter().map(|found| (found.doubt, found.share)).collect::<Vec<_>>()
    };
    let pos = |side| at(side, Coordinate::Pos);
    let sum = binary(BinaryOp::Add, pos(Side::Q), pos(Side::Kv));
    let never = binary(BinaryOp::Rem, binary(BinaryOp::Mul, sum, int(64)), int(64));
    assert_eq!(named(binary(BinaryOp::Eq, never, int(1)), 600), [(Doubt::Remainder, 1.0)]);
    let far = binary(BinaryOp::Add, pos(Side::Q), int(i64::from(i32::MAX)));
    assert_eq!(named(binary(BinaryOp::Le, pos(Side::Kv), far), 600), [(Doubt::Wraps, 1.0)]);
    let parity = binary(BinaryOp::Rem, binary(BinaryOp::Sub, pos(Side::Q), pos(Side::Kv)), int(2));
    assert_eq!(
        named(binary(BinaryOp::Eq, parity, int(0)), 600),
        [],
        "half of every block pair passes, and that is known"
    );
}

/// Strategies reference FX4, column A: one axis of n tiles of 16 tokens, window k.
#[test]
fn sliding_tile_rows_of_one_axis() {
    for (n, k, expected) in [
        (4, 1, "1000 0100 0010 0001"),
        (4, 2, "1110 1110 0111 0111"),
        (4, 3, "1110 1110 0111 0111"),
        (4, 4, "1111 1111 1111 1111"),
        (5, 2, "11100 11100 01110 00111 00111"),
        (5, 4, "11111 11111 11111 11111 11111"),
    ] {
        assert_eq!(sliding_tile([1, 1, n], [1.0, 1.0, k as f32], 0), expected, "n = {n}, k = {k}");
    }
}

/// FX4: a grid of tiles, and a block of text at the end.
#[test]
fn sliding_tile_rows_of_a_grid_and_text() {
    assert_eq!(sliding_tile([1, 2, 3], [1.0, 1.0, 3.0], 0), "111000 111000 111000 000111 000111 000111");
    assert_eq!(sliding_tile([1, 2, 3], [1.0, 2.0, 1.0], 0), "100100 010010 001001 100100 010010 001001");
    assert_eq!(sliding_tile([1, 1, 4], [1.0, 1.0, 3.0], 16), "11101 11101 01111 01111 11111");
}

/// Rows of S_s of Sliding Tile Attention over `tiles` tiles of (1, 1, 16) tokens, then `n_text` tokens of text.
fn sliding_tile(tiles: [usize; 3], window: [f32; 3], n_text: usize) -> String {
    let range = |name: &str, grid| TokenRange { name: name.to_owned(), grid, span: Span::default() };
    let table = Table {
        name: "window".to_owned(),
        doc: String::new(),
        axes: vec![TableAxis::Step, TableAxis::Layer, TableAxis::Head],
        element: Element::Three(Scalar::U32),
        variants: Vec::new(),
        span: Span::default(),
    };
    let tile = |side| at(side, Coordinate::Tile);
    let near = call(
        Function::Near,
        vec![tile(Side::Q), tile(Side::Kv), expr(ExprKind::Table(TableId(0)), Type::Triple)],
        Type::Bool,
    );
    let text = binary(BinaryOp::Or, in_range(Side::Q, 1), in_range(Side::Kv, 1));
    let rule = |action, when| BlockRule { action, when, reuse: None, span: Span::default() };
    let condition = Some(binary(BinaryOp::Or, text, near));
    let strategy = Strategy {
        tokens: vec![range("vision", Some(Grid::Tiled([1, 1, 16]))), range("text", None)],
        tables: vec![table],
        rules: vec![
            rule(Action::Keep, When::Match { q: None, kv: None, condition }),
            rule(Action::Skip, When::Otherwise),
        ],
        ..Strategy::dense()
    };
    let layout = Layout::text_back(n_text, [tiles[0], tiles[1], tiles[2] * 16]);
    let n = layout.len();
    let problem = Problem { layout, blocks: Blocks { q: 16, kv: 16 }, ..Problem::self_attention(1, n, 2, 64) };
    let bindings =
        Bindings { tables: vec![TableData { shape: vec![1, 1, 1], values: window.to_vec() }], ..Bindings::default() };
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap_or_else(|findings| panic!("{findings}"));
    let moment = Moment { step: 3, steps: 9, since_update: 0, layer: 2 }; // one entry for all
    let symbols = static_symbols(&bound, &moment);
    assert_eq!(symbols, reference::static_symbols(&bound, &moment));
    assert_eq!(rows(&symbols.skip, 0), rows(&symbols.skip, 1), "both heads read the same entry");
    rows(&symbols.skip, 0)
}

fn rows(s_s: &SkipSymbol, h: usize) -> String {
    let row = |i| (0..s_s.kv_blocks()).map(|j| if s_s.get(0, h, i, j) { '1' } else { '0' }).collect::<String>();
    (0..s_s.q_blocks()).map(row).collect::<Vec<_>>().join(" ")
}

/// FX2: schedules that count from the last Update.
#[test]
fn published_schedules() {
    let [step, steps, since] = [Global::Step, Global::Steps, Global::SinceUpdate].map(global);
    let warm = |warmup| binary(BinaryOp::Lt, step.clone(), int(warmup));
    let every = |interval| binary(BinaryOp::Eq, since.clone(), int(interval));
    let last = binary(BinaryOp::Eq, step.clone(), binary(BinaryOp::Sub, steps, int(1)));
    let or = |a, b| binary(BinaryOp::Or, a, b);
    assert_eq!(schedule(Some(or(warm(3), every(5))), None, 20), "FFFPPPPFPPPPFPPPPFPP", "TaylorSeer");
    let flash_omni = or(or(warm(8), every(5)), last);
    assert_eq!(schedule(Some(flash_omni), None, 20), "FFFFFFFFPPPPFPPPPFPF", "FlashOmni");
    assert_eq!(schedule(Some(every(3)), None, 20), "FPPFPPFPPFPPFPPFPPFP", "FORA");
    assert_eq!(schedule(None, None, 4), "FFFF", "no `update when`");
    assert_eq!(schedule(Some(every(3)), Some(warm(2)), 8), "DDFPPFPP", "dense first, then an Update");
}

fn schedule(update: Option<Expr>, dense: Option<Expr>, steps: u32) -> String {
    let strategy = Strategy { schedule: Schedule { update, dense, degrade: None }, ..Strategy::dense() };
    let (problem, bindings) = (Problem::self_attention(1, 16, 1, 64), Bindings::default());
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
    let mut last_update = None;
    let kinds = (0..steps).map(|step| match bound.schedule(step, steps, last_update.map(|last| step - last), 0) {
        StepKind::Update => {
            last_update = Some(step);
            'F'
        }
        StepKind::Dispatch => 'P',
        StepKind::Dense => 'D',
    });
    kinds.collect()
}
