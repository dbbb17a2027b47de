//! Sizes, moments and tables that no call can have, on sessions, devices and layers alike: typed errors, and no memory
//! is asked for.

use std::sync::Arc;

use sparsym_ir::bind::{InputData, TableData};
use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Side, Type};
use sparsym_ir::problem::Layout;
use sparsym_ir::projection::{Stream, Summed};
use sparsym_ir::strategy::{
    Blocks, Element, Grid, Input, InputId, Permute, RangeId, Scalar, Strategy, Table, TableAxis, TableId, TokenRange,
    TokenRule,
};
use sparsym_ir::{
    Bindings, Bound, Code, DType, Findings, GemmOCall, GemmQCall, Moment, Problem, Span, SymbolsCall, SymbolsOf, Tensor,
};
use sparsym_runtime::device::session::{Array, ArrayError, Call, Prepared, SymbolArrays};
use sparsym_runtime::device::{self, Device, Reference, Session, projections};
use sparsym_runtime::engine::{Engine, LayerSpec, Linear, Part, Schedule, Weights};
use sparsym_runtime::{Error, LayerPlace};

fn devices() -> Vec<Arc<dyn Device>> {
    ["reference", "cpu", "emulator"].iter().map(|name| Arc::from(device::open(name).unwrap())).collect()
}

/// The codes of all findings.
fn codes<T>(result: Result<T, Error>) -> Vec<Code> {
    let Err(error) = result else { panic!("nothing was refused") };
    let findings = error.downcast_ref::<Findings>().unwrap_or_else(|| panic!("no findings, but {error}"));
    findings.iter().map(|finding| finding.code).collect()
}

fn all_are<T>(code: Code, result: Result<T, Error>) {
    let found = codes(result);
    assert!(found.iter().all(|&other| other == code), "{found:?}");
}

/// `mask q, kv => q.pos - kv.pos <= width` with a table of these axes.
fn window(axes: &[TableAxis]) -> Strategy {
    let node = |kind, ty| Expr { kind, ty, span: Span::default() };
    let pos = |side| Box::new(node(ExprKind::Coordinate(side, Coordinate::Pos), Type::Int));
    let distance = node(ExprKind::Binary(BinaryOp::Sub, pos(Side::Q), pos(Side::Kv)), Type::Int);
    let width = node(ExprKind::Table(TableId(0)), Type::Int);
    let value = node(ExprKind::Binary(BinaryOp::Le, Box::new(distance), Box::new(width)), Type::Bool);
    let table = Table {
        name: "width".to_owned(),
        doc: String::new(),
        axes: axes.to_vec(),
        element: Element::One(Scalar::U32),
        variants: Vec::new(),
        span: Span::default(),
    };
    Strategy { tables: vec![table], mask: Some(TokenRule { value, span: Span::default() }), ..Strategy::dense() }
}

fn widths(shape: &[usize]) -> Bindings {
    let values = vec![1.0; shape.iter().product()];
    Bindings { tables: vec![TableData { shape: shape.to_vec(), values }], ..Bindings::default() }
}

fn layer(
    device: &Arc<dyn Device>,
    strategy: &Strategy,
    problem: &Problem,
    bindings: &Bindings,
    place: LayerPlace,
) -> Vec<Result<(), Error>> {
    let engine = Engine::new(device.clone()).unwrap();
    let weight = engine.place("w", &Tensor::zeros(&[64, 64], engine.finest_dtype())).unwrap();
    let linear = Linear { weight: &weight, bias: None };
    let weights = Weights { q: linear, k: linear, v: linear, o: linear, q_norm: None, k_norm: None, rope: None };
    let part = Part { tokens: problem.n_q, weights };
    let spec = || LayerSpec { strategy: strategy.clone(), problem: problem.clone(), bindings: bindings.clone(), place };
    vec![engine.layer(spec(), vec![part]).map(drop), engine.attention(spec(), engine.finest_dtype()).map(drop)]
}

const PLACE: LayerPlace = LayerPlace { layer: 0, steps: 4 };

fn small() -> Problem {
    Problem::self_attention(1, 32, 1, 64)
}

#[test]
fn layers_of_sizes_that_overflow() {
    let (dense, none) = (Strategy::dense(), Bindings::default());
    for device in devices() {
        for extent in [0, 1 << 40, usize::MAX] {
            for problem in [
                Problem { n_q: extent, n_kv: extent, ..small() },
                Problem { batch: extent, ..small() },
                Problem { heads: extent, kv_heads: extent, ..small() },
                Problem { head_dim: extent, ..small() },
            ] {
                layer(&device, &dense, &problem, &none, PLACE)
                    .into_iter()
                    .for_each(|made| all_are(Code::TensorShape, made));
            }
        }
        let gib = Problem::self_attention(1, 1 << 30, 1, 64);
        layer(&device, &dense, &gib, &none, PLACE).into_iter().for_each(|made| all_are(Code::SymbolShape, made));
        let grid = Problem { layout: Layout::text_front(0, [1 << 30; 3]), ..small() };
        layer(&device, &dense, &grid, &none, PLACE).into_iter().for_each(|made| all_are(Code::TokenLayout, made));
    }
}

#[test]
fn runs_without_steps_or_with_too_many() {
    let (dense, none) = (Strategy::dense(), Bindings::default());
    for device in devices() {
        for steps in [0, u32::MAX, (1 << 20) + 1] {
            let made = layer(&device, &dense, &small(), &none, LayerPlace { layer: 0, steps });
            made.into_iter().for_each(|made| assert_eq!(codes(made), [Code::StepOutside]));
        }
    }
    let problem = small();
    let bound = Bound::new(&dense, &problem, &none).unwrap();
    assert_eq!(Schedule::new(&bound, LayerPlace { layer: 0, steps: u32::MAX }).steps(), Moment::MOST_STEPS);
}

#[test]
fn calls_at_moments_that_do_not_exist() {
    use TableAxis::{Head, Layer, Step};
    let strategy = window(&[Step, Layer, Head]);
    let problem = Problem { heads: 3, kv_heads: 3, ..small() };
    for device in devices() {
        let at = |shape: &[usize], step, steps, layer| {
            let bindings = widths(shape);
            let bound = Bound::new(&strategy, &problem, &bindings)?;
            let moment = Moment { step, steps, since_update: 0, layer };
            device.symbols(&SymbolsCall::without_data(&bound, moment)).map(drop)
        };
        at(&[1, 1, 1], 3, 4, 9).unwrap();
        at(&[4, 10, 3], 3, 4, 9).unwrap();
        assert_eq!(codes(at(&[1, 1, 1], 4, 4, 0)), [Code::StepOutside]);
        assert_eq!(codes(at(&[1, 1, 1], 0, 0, 0)), [Code::StepOutside]);
        assert_eq!(codes(at(&[5, 1, 1], 3, 4, 0)), [Code::TableShape]);
        assert_eq!(codes(at(&[1, 9, 1], 3, 4, 9)), [Code::TableShape]);
        assert_eq!(codes(at(&[1, 1, 2], 3, 4, 0)), [Code::TableShape]);
        for (bindings, place) in [(widths(&[5, 1, 1]), PLACE), (widths(&[1, 2, 1]), LayerPlace { layer: 2, ..PLACE })] {
            let problem = Problem { heads: 1, kv_heads: 1, ..small() };
            layer(&device, &strategy, &problem, &bindings, place)
                .into_iter()
                .for_each(|made| assert_eq!(codes(made), [Code::TableShape]));
        }
    }
}

#[test]
fn arrays_that_no_memory_holds() {
    for device in devices() {
        let session = device.session().unwrap();
        for shape in [&[usize::MAX, 2][..], &[1 << 62, 1], &[1 << 32, 1 << 32], &[1 << 50]] {
            let made = Array::new(&session, "x", shape, DType::F32);
            let error = made.unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(ArrayError::NoRoom { .. })), "{shape:?}");
        }
        Array::new(&session, "x", &[0, usize::MAX], DType::F32).unwrap();
        SymbolArrays::ones(&session, &small(), true).unwrap();
    }
}

#[test]
fn projections_of_sizes_that_overflow() {
    let x = Tensor::zeros(&[1, 32, 64], DType::F32);
    let stream = Stream { batch: 1, tokens: 32, first: 0, rows: 32, width: 64, heads: 1, head_dim: 64, block: 16 };
    for device in devices() {
        for extent in [0, 1 << 40, usize::MAX] {
            for stream in [
                Stream { batch: extent, ..stream },
                Stream { width: extent, ..stream },
                Stream { heads: extent, ..stream },
                Stream { head_dim: extent, ..stream },
                Stream { tokens: extent, rows: 0, ..stream },
            ] {
                let call = GemmQCall { stream, x: &x, w: &x, bias: None, norm: None, rope: None, s_c: None };
                all_are(Code::TensorShape, projections::gemm_q(&device, &call, true));
                let (partials, coefficients) = (Vec::new(), Vec::new());
                let summed = Summed::Active;
                let call = GemmOCall { stream, o: &x, w: &x, bias: None, s_c: None, summed, partials, coefficients };
                all_are(Code::TensorShape, projections::gemm_o(&device, &call));
            }
        }
    }
}

#[test]
fn permutations_ask_for_their_grid_and_their_tokens() {
    let range = TokenRange { name: "vision".to_owned(), grid: Some(Grid::Tiled([2, 4, 4])), span: Span::default() };
    let tiles = Strategy { tokens: vec![range], permute: Some(Permute::Tiles(RangeId(0))), ..Strategy::dense() };
    let none = Bindings::default();
    let bind = |problem: &Problem| Bound::new(&tiles, problem, &none).map(drop).map_err(Error::from);
    let with = |grid: [usize; 3]| {
        let layout = Layout { ranges: vec![sparsym_ir::problem::LayoutRange::grid("vision", grid)] };
        Problem { layout, ..Problem::self_attention(1, 96, 1, 64) }
    };
    bind(&with([2, 4, 12])).unwrap();
    assert_eq!(codes(bind(&with([3, 4, 8]))), [Code::TileLayout]);
    assert_eq!(codes(bind(&Problem::self_attention(1, 96, 1, 64))), [Code::TokenLayout]);

    let input = Input { name: "order".to_owned(), doc: String::new(), scalar: Scalar::U32, span: Span::default() };
    let index = Strategy { inputs: vec![input], permute: Some(Permute::Index(InputId(0))), ..Strategy::dense() };
    for values in [vec![0.0; 32], vec![32.0; 32], vec![-1.0; 32], vec![f32::NAN; 32], vec![0.5; 32], vec![]] {
        let bindings = Bindings { inputs: vec![InputData { values }], ..Bindings::default() };
        assert_eq!(codes(Bound::new(&index, &small(), &bindings).map_err(Error::from)), [Code::InputShape]);
    }
}

/// What was prepared for a call runs calls like it, with any numbers and tables, and no others.
#[test]
fn a_prepared_call_runs_calls_like_it_and_no_others() {
    let (strategy, problem) = (window(&[TableAxis::Head]), Problem { blocks: Blocks { q: 8, kv: 8 }, ..small() });
    let mut stricter = strategy.clone();
    let Some(mask) = &mut stricter.mask else { unreachable!("a window is a mask") };
    let ExprKind::Binary(op, ..) = &mut mask.value.kind else { unreachable!("a window compares") };
    *op = BinaryOp::Lt;
    let device = device::open("emulator").unwrap();
    let (session, elsewhere) = (device.session().unwrap(), device.session().unwrap());
    let moment = Moment { steps: 1, ..Moment::default() };
    let of = |session: &Arc<dyn Session>, strategy: &Strategy, width: f32, prepared: Option<&Prepared>| {
        let bindings =
            Bindings { tables: vec![TableData { shape: vec![1], values: vec![width] }], ..Bindings::default() };
        let bound = Bound::new(strategy, &problem, &bindings).unwrap();
        let symbols = SymbolArrays::ones(session, &problem, true)?;
        let call = SymbolsOf::without_data(&bound, moment);
        let made = Call::Symbols { call, means: None, symbols: &symbols };
        let prepared = prepared.cloned().map_or_else(|| session.prepare(&made), Ok)?;
        session.run(&prepared, &made)?;
        assert_eq!(symbols.read(&problem)?, Reference.symbols(&SymbolsOf::without_data(&bound, moment))?, "{width}");
        Ok::<_, Error>(prepared)
    };
    let prepared = of(&session, &strategy, 1.0, None).unwrap();
    for width in [1.0, 20.0, 0.0] {
        of(&session, &strategy, width, Some(&prepared)).unwrap();
    }
    let others = [of(&session, &stricter, 1.0, Some(&prepared)), of(&elsewhere, &strategy, 1.0, Some(&prepared))];
    for refused in others {
        let Err(error) = refused else { panic!("it ran") };
        assert_eq!(error.downcast_ref(), Some(&ArrayError::OtherCall), "{error}");
    }
}
