//! What is made once and used again: symbols of batch items and heads, kernels, workspaces, constants of a device. One thing
//! is changed at a time, everything runs beside everything else, and each must be as if it were alone.

use std::sync::Arc;

use sparsym::engine::{Array, Attention, Engine, LayerError, LayerPlace, LayerSpec};
use sparsym::ir::bind::{InputData, TableData};
use sparsym::ir::problem::{DType, Ragged};
use sparsym::ir::projection::{RopePairs, Summed};
use sparsym::ir::strategy::{Blocks, Value};
use sparsym::ir::{Bindings, Bound, Moment, Problem, Strategy, Symbols, SymbolsCall, Tensor};
use sparsym::kernel::{
    AttentionRequest, CachedRows, FromHeads, Means, Product, Request, RoomRequest, Scale, Sequences, SummedHeads,
    SymbolsRequest, Target, TileOrder, ToHeads, generate, plan,
};
use sparsym::language::compile_str;
use sparsym::{Error, device};

fn strategy(rules: &str) -> Strategy {
    compile_str("test", &format!("pub Test {{ {rules} }}")).unwrap_or_else(|findings| panic!("{rules}: {findings:?}"))
}

// ---- symbols of batch items and heads -----------------------------------------------------------------------------

/// Symbols of two batch items and two heads on a device.
fn symbols(device: &str, strategy: &Strategy, problem: &Problem, bindings: &Bindings, moment: Moment) -> Symbols {
    let bound = Bound::new(strategy, problem, bindings).unwrap_or_else(|findings| panic!("{findings}"));
    device::open(device).unwrap().symbols(&SymbolsCall::without_data(&bound, moment)).unwrap()
}

/// Bits of S_c, S_s and S_f of a batch item and head.
fn bits(symbols: &Symbols, b: usize, h: usize) -> Vec<bool> {
    let blocks = symbols.cache.q_blocks();
    let mut bits: Vec<bool> = (0..blocks).map(|i| symbols.cache.get(b, h, i)).collect();
    for pairs in [Some(&symbols.skip), symbols.full.as_ref()].into_iter().flatten() {
        for i in 0..blocks {
            let computed: Vec<usize> = pairs.computed(b, h, i).collect();
            bits.extend((0..blocks).map(|j| computed.contains(&j)));
        }
    }
    bits
}

/// One thing differs between the two batch items, or the two heads; so do the symbols, as the oracle says. Where nothing
/// differs they are equal.
#[test]
fn symbols_know_what_they_read() {
    const N: usize = 64;
    let blocks = Blocks { q: 8, kv: 8 };
    let problem = Problem { blocks, ..Problem::self_attention(2, N, 2, 64) };
    let half = Problem { ragged: Some(Ragged { q: vec![0, 64, 92], kv: vec![0, 64, 92] }), ..problem.clone() };
    let documents = |second: usize| InputData {
        values: (0..2 * N).map(|n| if n < N { n / 24 } else { n % N / second } as f32).collect(),
    };
    let of_ragged = || InputData { values: vec![1.0; 92] };
    let windows = |second: f32| TableData { shape: vec![2], values: vec![9.0, second] };
    let input = "input doc: [token] of i32;";
    let table = "table window: [head] of u32;";
    type Change = (&'static str, String, Problem, Vec<TableData>, Vec<InputData>, [bool; 2]);
    let mut changes: Vec<Change> = Vec::new();
    let mut add = |what, rules: String, problem: &Problem, tables, inputs, differ| {
        changes.push((what, rules, problem.clone(), tables, inputs, differ));
    };
    for cover in ["any: doc[q] != doc[kv]", "all: doc[q] == doc[kv]", "any: doc[kv] == 1"] {
        for action in ["keep", "skip"] {
            let rest = if action == "keep" { "otherwise skip;" } else { "" };
            let rules = format!("{input} {action} q, kv where cover({cover}); {rest}");
            add("an input in a cover", rules.clone(), &problem, vec![], vec![documents(40)], [true, false]);
            add("no input in a cover", rules, &problem, vec![], vec![documents(24)], [false, false]);
        }
    }
    let rules = format!("{input} mask q, kv => doc[q] == doc[kv];");
    add("an input in the mask", rules.clone(), &problem, vec![], vec![documents(40)], [true, false]);
    add("no input in the mask", rules, &problem, vec![], vec![documents(24)], [false, false]);
    let rules = format!("{input} skip q, kv where cover(all: doc[q] == 1 && doc[kv] == 1) && q.block > kv.block;");
    add("the lengths of a ragged batch", rules, &half, vec![], vec![of_ragged()], [true, false]);
    add("the lengths under a mask", "mask q, kv => kv.pos <= q.pos;".to_owned(), &half, vec![], vec![], [true, false]);
    for (what, second, differs) in [("a table of heads", 30.0, true), ("no table of heads", 9.0, false)] {
        for rules in [
            "mask q, kv => abs(q.pos - kv.pos) <= window;",
            "skip q, kv where abs(q.block - kv.block) * 8 > window;",
            "cache q where q.block * 8 > window; update when since_update == 3;",
            "skip q, kv where cover(any: abs(q.pos - kv.pos) > window);",
        ] {
            add(what, format!("{table} {rules}"), &problem, vec![windows(second)], vec![], [false, differs]);
        }
    }
    for (name, differ) in [("batch", [true, false]), ("head", [false, true])] {
        for rules in [
            format!("mask q, kv => abs(q.pos - kv.pos) <= 9 + 20 * {name};"),
            format!("skip q, kv where abs(q.block - kv.block) > 1 + {name};"),
            format!("cache q where q.block > 1 + {name}; update when since_update == 3;"),
            format!("skip q, kv where cover(any: abs(q.pos - kv.pos) > 9 + 20 * {name});"),
        ] {
            add(name, rules, &problem, vec![], vec![], differ);
        }
    }
    for (what, rules, problem, tables, inputs, [items, heads]) in changes {
        let strategy = strategy(&rules);
        let bindings = Bindings { params: vec![], tables, inputs };
        let of = |device| symbols(device, &strategy, &problem, &bindings, Moment { steps: 1, ..Moment::default() });
        let (oracle, cpu) = (of("reference"), of("cpu"));
        assert_eq!(cpu, oracle, "{what}: {rules}");
        assert_eq!(bits(&cpu, 0, 0) != bits(&cpu, 1, 0), items, "{what}, batch items: {rules}");
        assert_eq!(bits(&cpu, 0, 0) != bits(&cpu, 0, 1), heads, "{what}, heads: {rules}");
    }
}

// ---- layers of one engine -----------------------------------------------------------------------------------------

/// A layer without projections: base, or the base with one thing changed.
#[derive(Clone)]
struct Variant {
    rules: String,
    problem: Problem,
    bindings: Bindings,
    place: LayerPlace,
    dtype: DType,
}

const RULES: &str = "param reach: u32 = 20; table window: [step, layer, head] of u32; input doc: [token] of i32;
    mask q, kv => abs(q.pos - kv.pos) <= reach + window && doc[q] == doc[kv];
    skip q, kv where (q.block + 2 * kv.block + step + layer + steps) % 5 == 0;";

/// Entries of a run of so many steps, for two layers and so many heads.
fn window(steps: usize, heads: usize) -> TableData {
    let entry = |n: usize| (5 * (n / (2 * heads)) + 11 * (n / heads % 2) + 3 * (n % heads)) as f32;
    TableData { shape: vec![steps, 2, heads], values: (0..steps * 2 * heads).map(entry).collect() }
}

fn base() -> Variant {
    Variant {
        rules: RULES.to_owned(),
        problem: Problem { blocks: Blocks { q: 32, kv: 32 }, ..Problem::self_attention(1, 96, 2, 64) },
        bindings: Bindings {
            params: vec![Value::Int(20)],
            tables: vec![window(3, 2)],
            inputs: vec![InputData { values: (0..96).map(|n| (n / 70) as f32).collect() }],
        },
        place: LayerPlace { layer: 0, steps: 3 },
        dtype: DType::F16,
    }
}

/// Every thing that a layer is made of, changed alone.
fn variants() -> Vec<(&'static str, Variant)> {
    let mut all = vec![("base", base())];
    let mut add = |what, change: &dyn Fn(&mut Variant)| {
        let mut variant = base();
        change(&mut variant);
        all.push((what, variant));
    };
    add("param", &|v| v.bindings.params[0] = Value::Int(40));
    add("entry of a table, of a step", &|v| v.bindings.tables[0].values[4] = 30.0);
    add("entry of a table, of a head", &|v| v.bindings.tables[0].values[1] = 40.0);
    add("input", &|v| v.bindings.inputs[0].values[60] = 7.0);
    add("layer", &|v| v.place.layer = 1);
    add("steps", &|v| (v.place.steps, v.bindings.tables[0]) = (4, window(4, 2)));
    add("batch", &|v| {
        v.problem.batch = 2;
        v.bindings.inputs[0].values = (0..192).map(|n| (n / 50) as f32).collect();
    });
    add("tokens", &|v| {
        (v.problem.n_q, v.problem.n_kv) = (80, 80);
        v.bindings.inputs[0].values.truncate(80);
    });
    add("heads", &|v| {
        (v.problem.heads, v.problem.kv_heads) = (3, 3);
        v.bindings.tables[0] = window(3, 3);
    });
    add("kv heads", &|v| v.problem.kv_heads = 1);
    add("head dimension", &|v| v.problem.head_dim = 128);
    add("query blocks", &|v| v.problem.blocks.q = 64);
    add("kv blocks", &|v| v.problem.blocks.kv = 64);
    add("scale", &|v| v.problem.scale = 0.25);
    add("negative scale", &|v| v.problem.scale = -0.25);
    add("type", &|v| v.dtype = DType::Bf16);
    add("number in the mask", &|v| v.rules = v.rules.replace("reach + window", "reach + window + 9"));
    add("number in a rule", &|v| v.rules = v.rules.replace("% 5 == 0", "% 4 == 0"));
    add("score", &|v| v.rules += "score s, q, kv => s * 0.5;");
    add("number in the score", &|v| v.rules += "score s, q, kv => s * 0.75;");
    add("cache rule", &|v| v.rules += "cache q where q.block == 1; update when since_update == 3;");
    add("order", &|v| v.rules += "cache q where q.block == 1 by taylor(1); update when step < 2;");
    add("no mask", &|v| {
        v.rules = v.rules.replace("mask q, kv =>", "skip q, kv where cover(any:").replace("== doc[kv];", "== doc[kv]);")
    });
    all
}

/// A layer with its arrays.
struct Run {
    attention: Attention,
    arrays: [Array; 4],
    state: sparsym::engine::LayerState,
    dtype: DType,
}

impl Run {
    fn new(engine: &Engine, variant: &Variant) -> Run {
        let Variant { rules, problem, bindings, place, dtype } = variant.clone();
        let shapes = [problem.q_shape(), problem.kv_shape(), problem.kv_shape(), problem.q_shape()];
        let spec = LayerSpec { strategy: strategy(&rules), problem, bindings, place };
        let attention = engine.attention(spec, dtype).unwrap_or_else(|error| panic!("{rules}: {error}"));
        let arrays = shapes.map(|shape| engine.array("x", &shape, dtype).unwrap());
        let state = attention.state().unwrap();
        Run { attention, arrays, state, dtype }
    }

    fn step(&mut self, step: u32) -> Vec<f32> {
        use sparsym::ir::projection::Shaped;
        for (array, phase) in self.arrays[..3].iter().zip([0.11, 0.17, 0.23]) {
            let value = |n: usize| ((n as f32 + 7.0 * step as f32) * phase).sin();
            let values: Vec<f32> = (0..array.shape().iter().product()).map(value).collect();
            array.write(&Tensor::from_f32(array.shape(), self.dtype, &values)).unwrap();
        }
        let [q, k, v, o] = &self.arrays;
        self.attention.step(step, [q, k, v], o, &mut self.state).unwrap();
        o.read().unwrap().to_f32()
    }
}

/// All layers live on one engine and take their steps in turns; each does what it does on an engine of its own.
#[test]
fn layers_of_one_engine_do_not_meet() {
    for device in ["reference", "cpu", "emulator"] {
        let open = || Engine::new(Arc::from(device::open(device).unwrap())).unwrap();
        let engine = open();
        let variants = variants();
        let mut together: Vec<Run> = variants.iter().map(|(_, variant)| Run::new(&engine, variant)).collect();
        let mut outputs = vec![Vec::new(); together.len()];
        for step in 0..3 {
            for (run, outputs) in together.iter_mut().zip(&mut outputs) {
                outputs.push(run.step(step));
            }
        }
        for ((what, variant), outputs) in variants.iter().zip(&outputs) {
            let mut alone = Run::new(&open(), variant);
            let alone: Vec<Vec<f32>> = (0..3).map(|step| alone.step(step)).collect();
            assert!(alone == *outputs, "{what} on {device} is not what it is alone");
        }
        for (n, (what, _)) in variants.iter().enumerate() {
            let same = (0..n).find(|&other| outputs[other] == outputs[n]);
            assert!(same.is_none(), "{what} on {device} makes no difference to {}", variants[same.unwrap_or(0)].0);
        }
    }
}

/// Masks are obeyed at every step, so symbols that are kept may not know one of another step.
#[test]
fn kept_symbols_have_a_mask_that_stays() {
    let rules = |mask: &str, update: &str| {
        strategy(&format!(
            "let s = pool(Q) . pool(K); mask q, kv => abs(q.pos - kv.pos) <= {mask}; skip q, kv where s[q, kv] < 0.0; {update}"
        ))
    };
    let every_third = "update when step % 3 == 0;";
    let engine = Engine::new(Arc::from(device::open("cpu").unwrap())).unwrap();
    let problem = Problem { blocks: Blocks { q: 4, kv: 4 }, ..Problem::self_attention(1, 16, 1, 8) };
    let place = LayerPlace { layer: 0, steps: 6 };
    for (mask, update, varies) in [
        ("4 + step", every_third, true),
        ("4 + since_update", every_third, true),
        ("4 + steps", every_third, false),
        ("4 + step", "", false),
    ] {
        let spec =
            LayerSpec { strategy: rules(mask, update), problem: problem.clone(), bindings: Bindings::default(), place };
        let refused = |result: Result<(), Error>| {
            result.is_err_and(|error| matches!(error.downcast_ref(), Some(LayerError::VaryingMask { .. })))
        };
        assert_eq!(refused(engine.attention(spec, DType::F32).map(drop)), varies, "{mask}; {update}");
    }
}

// ---- texts --------------------------------------------------------------------------------------------------------

/// Equal requests give equal texts and plans; whatever is in a request changes both: a plan is the key of a loaded kernel.
#[test]
fn a_request_is_all_that_a_text_depends_on() {
    let masked = strategy(
        "param reach: u32 = 3; mask q, kv => abs(q.pos - kv.pos) <= reach; cache q where q.block > 1; update when since_update == 3;",
    );
    let data = strategy("let s = pool(Q) . pool(K); skip q, kv where s[q, kv] < 0.0;");
    let target = |name: &str| Target::parse(name).unwrap();
    let wider = strategy(
        "param reach: u32 = 3; mask q, kv => abs(q.pos - kv.pos) <= reach + 1; cache q where q.block > 1; update when since_update == 3;",
    );
    let attention = AttentionRequest {
        strategy: &masked,
        blocks: Blocks { q: 128, kv: 128 },
        sequences: Sequences::Uniform,
        cached_rows: CachedRows::LeftToCaller,
        scale: Scale::Positive,
        order: TileOrder::Grid,
    };
    let base = Request::of(RoomRequest::Attention(attention), target("sm_80"));
    let with = |room| Request { room, ..base.clone() };
    let of = |change: &dyn Fn(&mut AttentionRequest<'_>)| {
        let mut attention = attention;
        change(&mut attention);
        with(RoomRequest::Attention(attention))
    };
    let symbols = |strategy, means| {
        let (blocks, sequences) = (attention.blocks, attention.sequences);
        with(RoomRequest::Symbols(SymbolsRequest { strategy, blocks, sequences, means }))
    };
    let to_heads = |of| with(RoomRequest::GemmQ(of));
    let sparse = ToHeads { block: Some(128), ..ToHeads::default() };
    let back = |of| with(RoomRequest::GemmO(FromHeads::Product(of)));
    let summed = |summed| Product { heads: Some(SummedHeads { block: 128, summed }), ..Product::default() };
    let requests = [
        base.clone(),
        with(RoomRequest::Attention(AttentionRequest { strategy: &wider, ..attention })),
        Request { target: target("sm_120"), ..base.clone() },
        Request { dtype: DType::F16, ..base.clone() },
        Request { head_dim: 64, ..base.clone() },
        Request { fit: 1, ..base.clone() },
        of(&|of| of.blocks.q = 64),
        of(&|of| of.blocks.kv = 64),
        of(&|of| of.sequences = Sequences::Ragged),
        of(&|of| of.cached_rows = CachedRows::Forecast),
        of(&|of| of.scale = Scale::Any),
        of(&|of| of.order = TileOrder::HeaviestFirst),
        symbols(&masked, Means::Computed),
        symbols(&wider, Means::Computed),
        symbols(&data, Means::Computed),
        symbols(&data, Means::Given),
        to_heads(ToHeads::default()),
        to_heads(sparse),
        to_heads(ToHeads { block: Some(64), ..sparse }),
        to_heads(ToHeads { bias: true, ..sparse }),
        to_heads(ToHeads { norm: true, ..sparse }),
        to_heads(ToHeads { rope: Some(RopePairs::Half), ..sparse }),
        to_heads(ToHeads { rope: Some(RopePairs::Interleaved), ..sparse }),
        to_heads(ToHeads { means: Some(128), ..sparse }),
        Request { target: target("sm_90a"), ..to_heads(sparse) },
        Request { target: target("sm_90a"), ..to_heads(ToHeads { together: true, ..sparse }) },
        back(Product::default()),
        back(summed(Summed::Active)),
        back(summed(Summed::Cached)),
        back(summed(Summed::Both)),
        back(Product { partials: true, ..summed(Summed::Active) }),
        back(Product { bias: true, ..summed(Summed::Active) }),
        with(RoomRequest::GemmO(FromHeads::Differences { block: 128 })),
    ];
    let made = |request: &Request<'_>| {
        let kernel = generate(request).unwrap_or_else(|findings| panic!("{findings}"));
        (plan(request).unwrap(), format!("{} {:?} {:?}", kernel.source, kernel.launches, kernel.params), kernel.plan)
    };
    let made: Vec<_> = requests.iter().map(|request| (made(request), made(request))).collect();
    for (n, (first, second)) in made.iter().enumerate() {
        assert_eq!(first, second, "request {n} is not the same twice");
        let (plan, text, own) = first;
        assert_eq!(plan, own, "request {n}: the kernel has another plan");
        for (other, ((other_plan, other_text, _), _)) in made[..n].iter().enumerate() {
            assert!(text != other_text && plan != other_plan, "request {n} has the text or the plan of {other}");
        }
    }
}
