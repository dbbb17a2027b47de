//! Attention by a list of tiles, heaviest first: the list is what a sort gives, and the results are those of the grid to the
//! last bit.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::Deserialize;
use sparsym::device::emulator::Settings;
use sparsym::device::{self, Device, Emulator};
use sparsym::ir::{
    AttentionCall, AttentionOutput, Bindings, Bound, DType, Forecast, Problem, Strategy, Symbols, SymbolsCall,
};
use sparsym::kernel::{Kernel, Room, RoomPlan, Target, TileOrder};
use sparsym::language::compile_str;
use sparsym_tests::case::Case;
use sparsym_tests::data::{self, Tensors};
use sparsym_tests::kernels::{Wanted, wanted_by_case};

const CASES: &str = r#"
[[case]]
name = "rows_of_every_weight"
stresses = "more than two words of S_s, rows of many weights and without a computed pair"
text = "pub Uneven { skip q, kv where (kv.block * 7 + q.block * 5 + head * 3) % 23 < q.block; }"
batch = 2
n = 630
n_kv = 1113
heads = 2
blocks = [32, 16]
s_s = { density = 0.9, empty_rows = 0.1 }
seed = 1601

[[case]]
name = "more_tiles_than_threads"
stresses = "heads of their own and heads that are merged, grouped heads"
batch = 2
n = 2100
n_kv = 100
heads = 8
kv_heads = 2
blocks = [32, 16]
s_c = { density = 0.6 }
s_s = { density = 0.4 }
seed = 1602

[[case]]
name = "longer_than_a_stretch"
stresses = "a head of more tiles than are ranked together"
n = 132000
n_kv = 32
heads = 1
blocks = [32, 16]
s_c = { density = 0.7 }
s_s = { density = 0.6 }
seed = 1611

[[case]]
name = "tiles_smaller_than_blocks"
stresses = "several tiles share a row of S_s and a bit of S_c"
n = 600
heads = 2
head_dim = 128
blocks = [256, 128]
s_c = { density = 0.7 }
s_s = { density = 0.5 }
seed = 1603

[[case]]
name = "causal_rows"
stresses = "a mask, and weights that grow along the sequence"
strategy = "causal"
n = 700
heads = 2
blocks = [64, 64]
seed = 1604

[[case]]
name = "scored_windows"
stresses = "a score and a mask"
text = "pub Scored { mask q, kv => q.pos - kv.pos < 150; score s, q, kv => 30.0 * tanh(s / 30.0); }"
n = 400
heads = 2
blocks = [64, 32]
s_c = { density = 0.6 }
seed = 1605

[[case]]
name = "items_of_many_lengths"
stresses = "items without tokens, tiles past the end of an item, blocks past the end of its keys whose bits are 1"
lengths = [0, 300, 1, 64, 0]
lengths_kv = [70, 0, 40, 200, 0]
heads = 3
blocks = [32, 16]
s_c = { density = 0.7 }
s_s = { density = 0.6 }
seed = 1606

[[case]]
name = "forecast_rows"
stresses = "rows that are not computed are listed last in their head, and written"
batch = 2
n = 300
heads = 2
blocks = [64, 64]
forecast = 2
s_c = { density = 0.5 }
s_s = { density = 0.5, empty_rows = 0.2 }
seed = 1607

[[case]]
name = "forecast_of_items"
stresses = "a forecast over items of many lengths"
lengths = [130, 0, 70]
heads = 2
blocks = [64, 64]
forecast = 1
s_c = { density = 0.5 }
seed = 1608

[[case]]
name = "nothing_is_computed"
stresses = "an empty list"
n = 300
heads = 2
blocks = [64, 64]
s_c = { density = 0.0 }
seed = 1609

[[case]]
name = "all_is_forecast"
stresses = "a list of one weight"
n = 300
heads = 2
blocks = [64, 64]
forecast = 0
s_c = { density = 0.0 }
seed = 1610
"#;

/// What CTAs of attention do first where there is a list.
const LEAVE: &str = "    if (cta_x() >= p.tiles[0]) {\n        return;\n    }\n";
/// In its place: the list goes out as lse, and nothing else happens.
const TELL: &str = "    for (u32 at = threadIdx.x; cta_x() == 0 && at <= p.tiles[0]; at += kThreads) {
        p.lse[at] = (float)p.tiles[at];
    }
    if (p.heads > 0) {
        return;
    }
";

#[test]
fn results_are_those_of_the_grid_to_the_bit() {
    each(|case| {
        let [grid, listed] = [TileOrder::Grid, TileOrder::HeaviestFirst].map(|order| emulator().with_tile_order(order));
        let [grid, listed] = [grid, listed].map(|device| case.attention(&device));
        assert_eq!(grid.o.bytes(), listed.o.bytes(), "O of {}", case.of.name);
        let bits = |output: &AttentionOutput| output.lse.iter().map(|lse| lse.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&grid), bits(&listed), "lse of {}", case.of.name);
    });
}

#[test]
fn the_list_is_that_of_a_stable_sort_of_each_head() {
    let (mut weights, mut groups) = (BTreeSet::new(), BTreeSet::new());
    each(|case| {
        let mut kernel = case.listed();
        assert_eq!(kernel.source.matches(LEAVE).count(), 1, "{}", kernel.source);
        kernel.replace_source(kernel.source.replace(LEAVE, TELL));
        let device = emulator().with_tile_order(TileOrder::HeaviestFirst).with_text(Room::Attention, &*kernel.source);
        let told = case.attention(&device).lse;
        let RoomPlan::Attention(plan) = &kernel.plan.room else { panic!("a plan of attention") };
        let mut expected = case.tiles(plan.tile_q as usize);
        expected.sort_by_key(|&(at, weight)| (case.group(at, plan.tile_q as usize), Reverse(weight)));
        let found: Vec<usize> = told[1..=told[0] as usize].iter().map(|&at| at as usize).collect();
        let tiles: Vec<usize> = expected.iter().map(|&(at, _)| at).collect();
        assert_eq!(found, tiles, "the list of {}", case.of.name);
        weights.extend(expected.iter().map(|&(_, weight)| weight));
        groups.extend(expected.iter().map(|&(at, _)| case.group(at, plan.tile_q as usize)));
    });
    assert!(weights.len() > 15, "the cases have tiles of many weights: {weights:?}");
    assert!(groups.len() > 5, "the cases have heads that are a group and heads that are merged: {groups:?}");
}

/// A list pays where rows differ, and where tiles are neither so few that none waits nor so many that they even out.
#[test]
fn a_list_is_made_where_it_pays() {
    const MACHINE: usize = 10;
    let skipping = |text: &str| compile_str("rules", &format!("pub Rules {{ {text} }}")).expect("rules");
    let zoo = |name: &str| sparsym::zoo::find(name).expect("in the zoo").strategy.clone();
    let by_threshold = skipping("let s = pool(Q) . pool(K); skip q, kv where s[q, kv] < 0.0;");
    // The tiles for each multiprocessor for which there is a list.
    for (strategy, listed) in [
        (Strategy::dense(), 0..0),
        (zoo("causal"), 3..25),
        (zoo("window"), 3..25),
        (skipping("skip q, kv where kv.block > q.block;"), 0..0),
        (skipping("cache q where q.block > 1; update when since_update == 3;"), 0..0),
        (by_threshold, 5..13),
        (zoo("top_k"), 0..0),
    ] {
        let bindings = Bindings::defaults(&strategy);
        for tiles in [1, 2, 3, 4, 5, 12, 13, 24, 25, 50] {
            let problem = Problem::self_attention(1, 128 * tiles, MACHINE, 128);
            let bound = Bound::new(&strategy, &problem, &bindings).expect("rules that fit");
            let expected = if listed.contains(&tiles) { TileOrder::HeaviestFirst } else { TileOrder::Grid };
            let order = TileOrder::of(&bound, MACHINE as u32);
            assert_eq!(order, expected, "{tiles} tiles for each multiprocessor of {}", strategy.name);
        }
    }
}

/// A case with everything that a call needs.
struct Prepared {
    of: Case,
    strategy: Strategy,
    problem: Problem,
    bindings: Bindings,
    tensors: Tensors,
    symbols: Symbols,
}

fn each(mut check: impl FnMut(&Prepared)) {
    #[derive(Deserialize)]
    struct File {
        case: Vec<Case>,
    }
    let file: File = toml::from_str(CASES).expect("a list of cases");
    file.case.into_iter().map(Prepared::new).for_each(|case| check(&case));
}

fn emulator() -> Emulator {
    Emulator::open(Settings::default()).expect("libnvrtc is found: `cargo xtask test` installs it")
}

impl Prepared {
    fn new(of: Case) -> Prepared {
        let strategy = of.strategy().expect("a strategy");
        let problem = of.problem(&strategy);
        let bindings = of.bindings(&strategy, &problem).expect("values");
        let tensors = data::tensors(&of, &problem, DType::Bf16);
        let bound = Bound::new(&strategy, &problem, &bindings).expect("rules that fit");
        let call = SymbolsCall { bound: &bound, moment: of.moment, data: None };
        let mut symbols = device::open("cpu").and_then(|cpu| cpu.symbols(&call)).expect("symbols");
        data::thin_out(&of, &mut symbols);
        Prepared { of, strategy, problem, bindings, tensors, symbols }
    }

    fn attention(&self, device: &dyn Device) -> AttentionOutput {
        let Tensors { q, k, v, features, coefficients } = &self.tensors;
        let bound = Bound::new(&self.strategy, &self.problem, &self.bindings).expect("rules that fit");
        let forecast = self
            .of
            .forecast
            .map(|_| Forecast { features: features.iter().collect(), coefficients: coefficients.clone() });
        let call = AttentionCall { bound: &bound, moment: self.of.moment, q, k, v, symbols: &self.symbols, forecast };
        device.attention(&call).unwrap_or_else(|error| panic!("{}: {error}", self.of.name))
    }

    fn listed(&self) -> Kernel {
        let wanted = wanted_by_case(&self.of, Room::Attention).expect("a strategy");
        let wanted = Wanted { order: TileOrder::HeaviestFirst, ..wanted };
        wanted.generate(Target::parse("sm_80").expect("sm_80 is known")).expect("sm_80 has the kernel")
    }

    /// Which tiles a tile is sorted with: those of its head, or of the last heads; beyond 4096 so many in turn.
    fn group(&self, at: usize, rows: usize) -> usize {
        const STRETCH: usize = 4096;
        let of_head = self.problem.n_q.div_ceil(rows);
        let heads = self.problem.batch * self.problem.heads;
        let merged = (528 / of_head).clamp(1, heads);
        let first_merged = (heads - merged) * of_head;
        let merges = at >= first_merged && merged * of_head <= STRETCH;
        if merges { first_merged } else { at / of_head * of_head + at % of_head / STRETCH * STRETCH }
    }

    /// The tiles with work in their order, each with the kv blocks that it computes and one more; 1: a forecast.
    fn tiles(&self, rows: usize) -> Vec<(usize, usize)> {
        let Problem { batch, heads, n_q, blocks, .. } = self.problem;
        let mut tiles = Vec::new();
        for at in 0..batch * heads * n_q.div_ceil(rows) {
            let (first, of_head) = (at % n_q.div_ceil(rows) * rows, at / n_q.div_ceil(rows));
            let (b, h, i) = (of_head / heads, of_head % heads, first / blocks.q as usize);
            if first >= self.problem.q_rows(b).len() {
                continue;
            }
            let walked = self.problem.kv_rows(b).len().div_ceil(blocks.kv as usize);
            match (self.symbols.cache.get(b, h, i), self.of.forecast) {
                (true, _) => {
                    let weight = self.symbols.skip.computed(b, h, i).filter(|&j| j < walked).count();
                    tiles.push((at, 1 + weight));
                }
                (false, Some(_)) => tiles.push((at, 1)),
                (false, None) => {}
            }
        }
        tiles
    }
}
