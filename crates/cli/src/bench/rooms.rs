//! The four rooms: their inputs, their symbols, their calls.

use std::sync::Arc;

use sparsym::device::session::{Call, SymbolArrays};
use sparsym::device::{Array, BitArray, Device, Session};
use sparsym::ir::projection::{RmsNorm, Rope, RopePairs, Shaped, Summed};
use sparsym::ir::symbols::{CacheSymbol, SkipSymbol};
use sparsym::ir::{Attention, Bound, DType, GemmO, GemmQ, Problem, Symbols, SymbolsOf, Tensor};
use sparsym::kernel::Room;
use sparsym::{Error, ErrorKind};

use super::data;
use super::measure::Row;
use super::shape::Shape;
use crate::chosen::Chosen;
use crate::failure::{Failure, Outcome};

/// What to time.
pub(super) struct Work<'a> {
    pub(super) chosen: &'a Chosen,
    pub(super) shape: &'a Shape,
    pub(super) input_sets: usize,
    /// Chances of a skipped pair, a row each; None: none is drawn.
    pub(super) sparsities: Vec<Option<f64>>,
    /// Chances of a cached tile, a row each; None: none is drawn.
    pub(super) cached: Vec<Option<f64>>,
    /// Parts of gemm_q.
    pub(super) parts: &'a [String],
    /// Whether gemm_o is that of an Update.
    pub(super) update: bool,
    /// Whether symbols are made from block means.
    pub(super) means: bool,
}

/// Whoever launches the rows of a room, while its arrays live.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&[Row<'_>]) -> Outcome;

/// A device, the order in which its kernels take tiles and their schedule, if they were asked for.
type Way = (Option<&'static str>, Option<&'static str>, Box<dyn Device>);

/// Makes the rows of a room on several devices.
pub(super) fn run(room: Room, devices: Vec<Way>, work: &Work<'_>, visit: Visit<'_>) -> Outcome {
    let bindings = work.chosen.bindings()?;
    let bound = Bound::new(&work.chosen.strategy, &work.shape.problem, &bindings)
        .map_err(|findings| Failure::usage(findings.to_string()))?;
    let bench = |(order, schedule, device)| {
        let session = Arc::<dyn Device>::from(device).session()?;
        Ok(Bench { session, order, schedule, bound: &bound, work })
    };
    let benches = devices.into_iter().map(bench).collect::<Outcome<Vec<_>>>()?;
    match (room, benches.as_slice()) {
        (Room::Attention, benches) => attention(benches, visit),
        (Room::Symbols, benches) => together(benches, Bench::symbols, &[], visit),
        (Room::GemmQ, benches) => together(benches, Bench::gemm_q, &[], visit),
        (Room::GemmO, benches) => together(benches, Bench::gemm_o, &[], visit),
    }
}

/// Makes the rows of a room on one device.
type MakeRows<'a> = fn(&Bench<'a>, Visit<'_>) -> Outcome;

/// The rows of all these devices, behind those that are already there, so that they take turns.
fn together<'a>(benches: &[Bench<'a>], room: MakeRows<'a>, made: &[Row<'_>], visit: Visit<'_>) -> Outcome {
    let [bench, others @ ..] = benches else { return visit(made) };
    room(bench, &mut |rows| together(others, room, &[made, rows].concat(), visit))
}

/// Shapes and strategy are arguments, so what a device has against them is bad usage, not bad data.
pub(super) fn failure(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Strategy | ErrorKind::Input => Failure::usage(error.to_string()),
        _ => error.into(),
    }
}

struct Bench<'a> {
    session: Arc<dyn Session>,
    order: Option<&'static str>,
    schedule: Option<&'static str>,
    bound: &'a Bound<'a>,
    work: &'a Work<'a>,
}

/// S_c and S_s of a row, and the share of the dense work that is left.
struct Decided {
    sparsity: Option<f64>,
    cached: Option<f64>,
    /// One for all sets of inputs, or one for each.
    symbols: Vec<SymbolArrays>,
    density_c: f64,
    density_s: f64,
    /// Of token pairs in computed blocks.
    pairs: f64,
    /// Of tokens in computed tiles.
    tokens: f64,
}

/// What random numbers are for: each tensor of each set has a seed of its own.
#[derive(Clone, Copy)]
enum Seed {
    Q,
    K,
    V,
    X,
    W,
    O,
    Other,
    Skip,
    Cache,
}

/// The rows of all these devices take turns.
fn attention(benches: &[Bench<'_>], visit: Visit<'_>) -> Outcome {
    let places = benches.iter().map(Bench::attention_places).collect::<Outcome<Vec<_>>>()?;
    let rows = benches.iter().zip(&places).flat_map(|(bench, places)| bench.attention_rows(places));
    visit(&rows.collect::<Vec<_>>())
}

/// Q, K, V, O and lse of each set of inputs, and the symbols of each row.
type AttentionPlaces = (Vec<[Array; 5]>, Vec<Decided>);

impl Bench<'_> {
    fn attention_places(&self) -> Outcome<AttentionPlaces> {
        let (problem, dtype) = (self.bound.problem, self.work.shape.dtype);
        let lse = [problem.batch, problem.heads, problem.n_q];
        let sets = self.sets(|set| {
            let [q, k] = self.queries_and_keys(set)?;
            let v = self.place("v", &data::tokens(&problem.kv_shape(), dtype, seed(Seed::V, set)))?;
            let o = Array::new(&self.session, "o", &problem.q_shape(), dtype)?;
            Ok([q, k, v, o, Array::new(&self.session, "lse", &lse, DType::F32)?])
        })?;
        let data: Vec<[&Array; 2]> = sets.iter().map(|[q, k, ..]| [q, k]).collect();
        let decided = self.decide_all(&data)?;
        Ok((sets, decided))
    }

    fn attention_rows<'c>(&'c self, (sets, decided): &'c AttentionPlaces) -> Vec<Row<'c>> {
        let flops = 4.0 * self.bound.problem.head_dim as f64 * self.all_pairs();
        let rows = decided.iter().map(|decided| {
            let calls = sets.iter().enumerate().map(|(set, [q, k, v, o, lse])| {
                let symbols = decided.of(set);
                let (bound, moment) = (self.bound, self.work.chosen.moment);
                let call = Attention { bound, moment, q, k, v, symbols: symbols.into(), forecast: None };
                Call::Attention { call, o, lse }
            });
            self.row(decided, decided.pairs, self.work.shape.bytes(Room::Attention), flops, calls.collect())
        });
        rows.collect()
    }

    fn symbols(&self, visit: Visit<'_>) -> Outcome {
        let (strategy, problem) = (self.bound.strategy, self.bound.problem);
        if self.work.means && !(strategy.reads_data() && self.session.takes_means(strategy)) {
            let name = strategy.snake_name();
            return Err(Failure::usage(format!(
                "{name} does not make its symbols from block means\nhelp: leave out --means"
            )));
        }
        let sets = self.sets(|set| {
            let symbols = SymbolArrays::ones(&self.session, problem, strategy.mask.is_some())?;
            let means = if self.work.means { Some(self.block_means(set)?) } else { None };
            Ok((self.queries_and_keys(set)?, symbols, means))
        })?;
        let calls = sets.iter().map(|(data, symbols, made)| match self.symbols_call(Some(data.each_ref()), symbols) {
            Call::Symbols { call, symbols, .. } => {
                Call::Symbols { call, means: made.as_ref().map(|[q, k]| [q, k]), symbols }
            }
            call => call,
        });
        let calls: Vec<Call<'_>> = calls.collect();
        self.session.run_once(&calls[0]).map_err(failure)?;
        let made = sets[0].1.read(problem)?;
        let (density_c, density_s) = (made.cache.density(), made.density());
        let bytes = match &sets[0].2 {
            Some(means) => means.iter().map(|means| 4.0 * means.shape().iter().product::<usize>() as f64).sum(),
            None if strategy.reads_data() => self.work.shape.bytes(Room::Symbols),
            None => 0.0,
        };
        let row = Row {
            session: &*self.session,
            order: self.order,
            schedule: self.schedule,
            sparsity: None,
            cached: None,
            density_c,
            density_s,
            density: density_s,
            dense_flops: None,
            bytes: bytes + sets[0].1.bytes() as f64,
            calls,
        };
        visit(&[row])
    }

    fn gemm_q(&self, visit: Visit<'_>) -> Outcome {
        let (shape, stream, dtype) = (self.work.shape, self.work.shape.stream(), self.work.shape.dtype);
        let columns = stream.heads * stream.head_dim;
        let wanted = |part: &str| self.work.parts.iter().any(|wanted| wanted == part);
        let vector = |part, extent| self.optional(wanted(part), part, &[extent], dtype);
        let (bias, norm) = (vector("bias", columns)?, vector("norm", stream.head_dim)?);
        let table = [stream.tokens, stream.head_dim / 2];
        let (cos, sin) = (
            self.optional(wanted("rope"), "rope_cos", &table, DType::F32)?,
            self.optional(wanted("rope"), "rope_sin", &table, DType::F32)?,
        );
        let sets = self.sets(|set| {
            let x = self.place("x", &data::normal(&stream.model_shape(), dtype, 1.0, seed(Seed::X, set)))?;
            Ok([
                x,
                self.weights(&[columns, stream.width], set)?,
                Array::new(&self.session, "q", &stream.head_shape(), dtype)?,
            ])
        })?;
        let decided = self.decide_projection()?;
        let rows = decided.iter().map(|decided| {
            let calls = sets.iter().enumerate().map(|(set, [x, w, q])| Call::GemmQ {
                call: GemmQ {
                    stream,
                    x,
                    w,
                    bias: bias.as_ref(),
                    norm: norm.as_ref().map(|weight| RmsNorm { weight, eps: 1e-6 }),
                    rope: cos.as_ref().zip(sin.as_ref()).map(|(cos, sin)| Rope { cos, sin, pairs: RopePairs::Half }),
                    s_c: decided.cache_symbol(set),
                },
                q,
                means: None,
            });
            self.row(decided, decided.tokens, shape.bytes(Room::GemmQ), self.projection_flops(), calls.collect())
        });
        visit(&rows.collect::<Vec<_>>())
    }

    fn gemm_o(&self, visit: Visit<'_>) -> Outcome {
        let (shape, stream, dtype) = (self.work.shape, self.work.shape.stream(), self.work.shape.dtype);
        let columns = stream.heads * stream.head_dim;
        let sets = self.sets(|set| {
            let o = self.place("o", &data::normal(&stream.head_shape(), dtype, 1.0, seed(Seed::O, set)))?;
            let partial =
                self.place("partial", &data::normal(&stream.model_shape(), dtype, 1.0, seed(Seed::Other, set)))?;
            let y = Array::new(&self.session, "y", &stream.model_shape(), dtype)?;
            Ok([o, self.weights(&[stream.width, columns], set)?, partial, y])
        })?;
        let decided = self.decide_projection()?;
        let rows = decided.iter().map(|decided| {
            let calls = sets.iter().enumerate().map(|(set, [o, w, partial, y])| {
                let s_c = decided.cache_symbol(set);
                let updates = self.work.update && s_c.is_some();
                // At a Dispatch what cached heads come to is known; an Update writes it.
                let partials: Vec<&Array> = s_c.iter().filter(|_| !updates).map(|_| partial).collect();
                let coefficients = partials.iter().map(|_| 1.0).collect();
                let summed = if updates { Summed::Both } else { Summed::Active };
                Call::GemmO {
                    call: GemmO { stream, o, w, bias: None, s_c, summed, partials, coefficients },
                    y,
                    partial: updates.then_some(partial),
                }
            });
            // An Update computes every head, whatever is cached later.
            let density = if self.work.update { 1.0 } else { decided.tokens };
            self.row(decided, density, shape.bytes(Room::GemmO), self.projection_flops(), calls.collect())
        });
        visit(&rows.collect::<Vec<_>>())
    }

    fn row<'c>(
        &'c self,
        decided: &Decided,
        density: f64,
        bytes: f64,
        dense_flops: f64,
        calls: Vec<Call<'c>>,
    ) -> Row<'c> {
        let &Decided { sparsity, cached, density_c, density_s, .. } = decided;
        let (session, order, schedule) = (&*self.session, self.order, self.schedule);
        let dense_flops = Some(dense_flops);
        Row { session, order, schedule, sparsity, cached, density_c, density_s, density, dense_flops, bytes, calls }
    }

    fn sets<T>(&self, make: impl Fn(usize) -> Outcome<T>) -> Outcome<Vec<T>> {
        (0..self.work.input_sets).map(make).collect()
    }

    fn place(&self, name: &str, tensor: &Tensor) -> Outcome<Array> {
        Array::place(&self.session, name, tensor).map_err(failure)
    }

    fn optional(&self, wanted: bool, name: &str, shape: &[usize], dtype: DType) -> Outcome<Option<Array>> {
        let place = || self.place(name, &data::normal(shape, dtype, 1.0, seed(Seed::Other, shape.len())));
        wanted.then(place).transpose()
    }

    fn weights(&self, shape: &[usize; 2], set: usize) -> Outcome<Array> {
        self.place("w", &data::normal(shape, self.work.shape.dtype, 0.02, seed(Seed::W, set)))
    }

    fn queries_and_keys(&self, set: usize) -> Outcome<[Array; 2]> {
        let (problem, dtype) = (self.bound.problem, self.work.shape.dtype);
        let q = self.place("q", &data::tokens(&problem.q_shape(), dtype, seed(Seed::Q, set)))?;
        Ok([q, self.place("k", &data::tokens(&problem.kv_shape(), dtype, seed(Seed::K, set)))?])
    }

    /// f32 `[B, H, T, D]` each.
    fn block_means(&self, set: usize) -> Outcome<[Array; 2]> {
        let Problem { batch, heads, kv_heads, head_dim, .. } = *self.bound.problem;
        let [q, k] = [
            [batch, heads, self.bound.problem.q_blocks(), head_dim],
            [batch, kv_heads, self.bound.problem.kv_blocks(), head_dim],
        ];
        let place =
            |name, shape: [usize; 4], of| self.place(name, &data::normal(&shape, DType::F32, 1.0, seed(of, set)));
        Ok([place("q_means", q, Seed::Q)?, place("k_means", k, Seed::K)?])
    }

    /// Operations of a projection without S_c.
    fn projection_flops(&self) -> f64 {
        let stream = self.work.shape.stream();
        2.0 * (stream.batch * stream.rows * stream.width) as f64 * (stream.heads * stream.head_dim) as f64
    }

    /// Token pairs of all heads and batch items.
    fn all_pairs(&self) -> f64 {
        let Problem { batch, heads, n_q, n_kv, .. } = *self.bound.problem;
        (batch * heads) as f64 * n_q as f64 * n_kv as f64
    }

    fn symbols_call<'c>(&'c self, data: Option<[&'c Array; 2]>, symbols: &'c SymbolArrays) -> Call<'c> {
        let data = data.filter(|_| self.bound.strategy.reads_data()).map(|[q, k]| (q, k));
        let call = SymbolsOf { bound: self.bound, moment: self.work.chosen.moment, data };
        Call::Symbols { call, means: None, symbols }
    }

    /// The rows of a projection: S_c of the strategy, with tiles cached at random.
    fn decide_projection(&self) -> Outcome<Vec<Decided>> {
        let sets = match self.bound.strategy.reads_data() {
            true => self.sets(|set| self.queries_and_keys(set))?,
            false => Vec::new(),
        };
        self.decide_all(&sets.iter().map(|set| set.each_ref()).collect::<Vec<_>>())
    }

    /// Symbols of the strategy's rules, with pairs skipped and tiles cached at random, for each pair of chances.
    fn decide_all(&self, data: &[[&Array; 2]]) -> Outcome<Vec<Decided>> {
        let mut rows = Vec::new();
        for &cached in &self.work.cached {
            for &sparsity in &self.work.sparsities {
                rows.push(self.decide(data, sparsity, cached)?);
            }
        }
        Ok(rows)
    }

    fn decide(&self, data: &[[&Array; 2]], sparsity: Option<f64>, cached: Option<f64>) -> Outcome<Decided> {
        let (strategy, problem) = (self.bound.strategy, self.bound.problem);
        let decided = !strategy.rules.is_empty() || strategy.mask.is_some();
        let count = if strategy.reads_data() { data.len() } else { 1 };
        let (mut symbols, mut shares) = (Vec::new(), [0.0; 4]);
        for set in 0..count {
            let arrays = SymbolArrays::ones(&self.session, problem, strategy.mask.is_some())?;
            if decided {
                let call = self.symbols_call(data.get(set).copied(), &arrays);
                self.session.run_once(&call).map_err(failure)?;
            }
            let mut made = arrays.read(problem)?;
            if let Some(chance) = sparsity.filter(|&chance| chance > 0.0) {
                let mut rows = made.skip.rows().clone();
                data::clear_at_random(&mut rows, chance, seed(Seed::Skip, set));
                arrays.skip.write(&rows)?;
                made.skip = SkipSymbol::from_rows(problem.batch, problem.heads, problem.q_blocks(), rows);
            }
            if let Some(chance) = cached.filter(|&chance| chance > 0.0) {
                let mut rows = made.cache.rows().clone();
                data::clear_at_random(&mut rows, chance, seed(Seed::Cache, set));
                arrays.cache.write(&rows)?;
                made.cache = CacheSymbol::from_rows(problem.batch, problem.q_blocks(), rows);
            }
            let found =
                [made.cache.density(), made.density(), computed_pairs(problem, &made), computed_tokens(problem, &made)];
            shares.iter_mut().zip(found).for_each(|(share, found)| *share += found / count as f64);
            symbols.push(arrays);
        }
        let [density_c, density_s, pairs, tokens] = shares;
        Ok(Decided { sparsity, cached, symbols, density_c, density_s, pairs, tokens })
    }
}

impl Decided {
    /// The symbols beside a set of inputs.
    fn of(&self, set: usize) -> &SymbolArrays {
        &self.symbols[set % self.symbols.len()]
    }

    /// S_c for a projection; None: there is nothing to leave out, and the dense kernel is timed.
    fn cache_symbol(&self, set: usize) -> Option<&BitArray> {
        (self.cached.is_some() || self.density_c < 1.0).then(|| &self.of(set).cache)
    }
}

/// Share of token pairs that lie in computed blocks; blocks at the end of a sequence are shorter.
fn computed_pairs(problem: &Problem, symbols: &Symbols) -> f64 {
    let (block_q, block_kv) = (problem.blocks.q as usize, problem.blocks.kv as usize);
    let tokens = |block: usize, of: usize, n: usize| (n - block * of).min(of) as u128;
    let mut pairs = 0u128;
    for b in 0..problem.batch {
        for h in 0..problem.heads {
            for i in (0..problem.q_blocks()).filter(|&i| symbols.cache.get(b, h, i)) {
                let seen: u128 = symbols.skip.computed(b, h, i).map(|j| tokens(j, block_kv, problem.n_kv)).sum();
                pairs += seen * tokens(i, block_q, problem.n_q);
            }
        }
    }
    pairs as f64 / ((problem.batch * problem.heads) as f64 * problem.n_q as f64 * problem.n_kv as f64)
}

/// Share of (token, head) pairs that lie in computed tiles.
fn computed_tokens(problem: &Problem, symbols: &Symbols) -> f64 {
    let block = problem.blocks.q as usize;
    let mut tokens = 0;
    for b in 0..problem.batch {
        for i in 0..problem.q_blocks() {
            let heads = (0..problem.heads).filter(|&h| symbols.cache.get(b, h, i)).count();
            tokens += heads * (problem.n_q - i * block).min(block);
        }
    }
    tokens as f64 / (problem.batch * problem.heads * problem.n_q) as f64
}

fn seed(of: Seed, set: usize) -> u64 {
    (of as u64) << 32 | set as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_blocks_at_the_end_count_as_what_they_are() {
        let problem = Problem::self_attention(1, 192, 1, 16); // a block of 128, and one of 64
        let mut symbols = Symbols::dense(1, 1, 2, 2);
        assert_eq!(computed_pairs(&problem, &symbols), 1.0);
        symbols.skip.set(0, 0, 1, 0, false);
        assert!((computed_pairs(&problem, &symbols) - (1.0 - 64.0 * 128.0 / (192.0 * 192.0))).abs() < 1e-12);
        symbols.cache.set(0, 0, 1, false);
        assert!((computed_pairs(&problem, &symbols) - 128.0 / 192.0).abs() < 1e-12);
        assert!((computed_tokens(&problem, &symbols) - 128.0 / 192.0).abs() < 1e-12);
    }
}
