//! The projections around attention: generated kernels on the emulator against plain loops in f64.

use std::collections::HashMap;
use std::ops::Range;

use ptx_emulator::{Copies, Launch, Memory, Options, Program, Schedule, Stats};
use sparsym_codegen::{
    Argument, Buffer, FromHeads, GemmPlan, Kernel, Numbers, Product, Request, Room, RoomPlan, RoomRequest, Sizes,
    SummedHeads, Target, ToHeads, generate,
};
use sparsym_ir::projection::{RopePairs, Stream, Summed};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::{DType, Tensor};
use sparsym_runtime::Compiler;

/// A kernel, a stream, and all that a call may bring.
struct Call {
    target: &'static str,
    room: Room,
    dtype: DType,
    stream: Stream,
    projection: Projection,
    s_c: CacheSymbol,
    coefficients: Vec<f32>,
    weights: Vec<Vec<f32>>,
    /// Values in place of those that are drawn.
    inputs: HashMap<Buffer, Vec<f32>>,
}

/// What the kernel has; those that belong to the other room are not set.
#[derive(Clone, Copy)]
struct Projection {
    sparse: bool,
    bias: bool,
    norm: bool,
    rope: Option<RopePairs>,
    means: bool,
    summed: Summed,
    partials: bool,
    differences: bool,
}

/// What a call left in its outputs, and what it cost.
struct Done {
    kernel: Kernel,
    outputs: HashMap<Buffer, Vec<Option<f32>>>,
    launches: Vec<Stats>,
}

const EPS: f32 = 1e-3;
const SIZES: Stream =
    Stream { batch: 2, tokens: 170, first: 0, rows: 170, width: 136, heads: 3, head_dim: 128, block: 64 };

impl Call {
    fn new(room: Room, stream: Stream, projection: Projection) -> Call {
        Call {
            target: "sm_80",
            room,
            dtype: DType::Bf16,
            stream,
            projection,
            s_c: pattern(&stream, |b, h, i| (b + 2 * h + i) % 3 != 0),
            coefficients: if projection.partials { vec![0.5, -1.25, 2.0] } else { Vec::new() },
            weights: Vec::new(),
            inputs: HashMap::new(),
        }
    }

    /// What an input holds, as 16-bit values or f32.
    fn input(&self, buffer: Buffer) -> Option<Tensor> {
        let (s, mut dtype) = (&self.stream, self.dtype);
        let (columns, half) = (s.heads * s.head_dim, s.head_dim / 2);
        let (shape, seed): (Vec<usize>, u64) = match buffer {
            Buffer::X => (s.model_shape().into(), 1),
            Buffer::W => (vec![columns * s.width], 2),
            Buffer::Bias => (vec![if self.room == Room::GemmQ { columns } else { s.width }], 3),
            Buffer::NormWeight => (vec![s.head_dim], 4),
            Buffer::RopeCos => (vec![s.tokens, half], 5),
            Buffer::RopeSin => (vec![s.tokens, half], 6),
            Buffer::O => (s.head_shape().into(), 7),
            Buffer::PartialIn(k) => (s.model_shape().into(), 8 + k as u64),
            Buffer::Output(j) => (s.head_shape().into(), 16 + j as u64),
            _ => return None,
        };
        if matches!(buffer, Buffer::RopeCos | Buffer::RopeSin) {
            dtype = DType::F32;
        }
        let drawn = || drawn(shape.iter().product(), seed);
        Some(Tensor::from_f32(&shape, dtype, &self.inputs.get(&buffer).cloned().unwrap_or_else(drawn)))
    }

    fn values(&self, buffer: Buffer) -> Vec<f64> {
        self.input(buffer).expect("an input").to_f32().into_iter().map(f64::from).collect()
    }

    fn active(&self, b: usize, h: usize, token: usize) -> bool {
        !self.projection.sparse || self.s_c.get(b, h, token / self.stream.block)
    }

    fn output_bytes(&self, buffer: Buffer) -> Option<usize> {
        let s = &self.stream;
        Some(match buffer {
            Buffer::QOut => 2 * s.head_shape().iter().product::<usize>(),
            Buffer::BlockMeans => 4 * s.batch * s.heads * s.blocks() * s.head_dim,
            Buffer::Y | Buffer::PartialOut(_) => 2 * s.model_shape().iter().product::<usize>(),
            other => return other.workspace_bytes(&self.numbers()),
        })
    }

    fn kernel(&self) -> Kernel {
        let Projection { sparse, bias, norm, rope, means, summed, partials, differences } = self.projection;
        let block = self.stream.block as u32;
        let (s_c, means) = (sparse.then_some(block), means.then_some(block));
        let heads = s_c.map(|block| SummedHeads { block, summed });
        let room = match self.room {
            Room::GemmQ => RoomRequest::GemmQ(ToHeads { block: s_c, bias, norm, rope, means, together: false }),
            _ if differences => RoomRequest::GemmO(FromHeads::Differences { block }),
            _ => RoomRequest::GemmO(FromHeads::Product(Product { heads, partials, bias })),
        };
        let (dtype, head_dim) = (self.dtype, self.stream.head_dim);
        generate(&Request { dtype, head_dim, ..Request::of(room, Target::parse(self.target).unwrap()) }).unwrap()
    }

    fn numbers(&self) -> Numbers<'_> {
        let sizes = Sizes::Stream { stream: &self.stream, eps: EPS };
        Numbers { sizes, coefficients: &self.coefficients, weights: &self.weights }
    }

    /// Runs it twice: with copies as late as they may come and as early, and checks that this makes no difference.
    fn run(&self) -> Done {
        let late = self.run_with(&Options::default());
        let early = Options { schedule: Schedule::RoundRobin(7), copies: Copies::Earliest, ..Options::default() };
        let bits = |done: &Done, buffer| -> Vec<Option<u32>> {
            done.outputs[buffer].iter().map(|value| value.map(f32::to_bits)).collect()
        };
        let early = self.run_with(&early);
        for buffer in late.outputs.keys() {
            assert_eq!(bits(&late, buffer), bits(&early, buffer), "{buffer:?} of {}", late.kernel.name);
        }
        late
    }

    fn run_with(&self, options: &Options) -> Done {
        let kernel = self.kernel();
        let image = Compiler::new().unwrap().compile(&kernel, "none").unwrap().image;
        let program = Program::load(&String::from_utf8_lossy(&image.ptx)).unwrap();
        let (mut memory, mut params) = (Memory::new(), vec![0; kernel.params.size]);
        let mut placed = HashMap::new();
        for (offset, argument) in kernel.arguments(&self.numbers()) {
            let bytes = match argument {
                Argument::I32(value) => value.to_ne_bytes().to_vec(),
                Argument::F32(value) => value.to_ne_bytes().to_vec(),
                Argument::Boxes { .. } => panic!("kernels of sm_80 copy no boxes"),
                Argument::Buffer(buffer) => {
                    let at = placed.entry(buffer).or_insert_with(|| match (buffer, self.output_bytes(buffer)) {
                        (Buffer::CacheSymbol, _) => {
                            memory.upload_constant("s_c", bytemuck::cast_slice(self.s_c.rows().words()))
                        }
                        (_, Some(bytes)) => memory.alloc(&format!("{buffer:?}"), bytes),
                        _ => memory.upload_constant(&format!("{buffer:?}"), self.input(buffer).unwrap().bytes()),
                    });
                    at.address().to_ne_bytes().to_vec()
                }
            };
            params[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        let mut launches = Vec::new();
        for launch in &kernel.launches {
            let grid = launch.ctas(&self.numbers(), 4);
            let block = [launch.threads, 1, 1];
            let entry = program.kernel(&launch.entry).unwrap();
            let launch = Launch { grid, block, dynamic_shared: launch.shared_bytes, params: &params };
            let stats = entry.launch(&memory, &launch, options).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(stats.bank_conflicts(), 0, "{}: {:?}", kernel.name, stats.conflicts);
            launches.push(stats);
        }
        let outputs = placed.into_iter().filter(|(buffer, _)| self.output_bytes(*buffer).is_some());
        let outputs = outputs.map(|(buffer, at)| {
            let bytes = memory.download(at);
            let mut values: Vec<Option<f32>> = match buffer {
                Buffer::BlockMeans => bytemuck::pod_collect_to_vec::<u8, f32>(&bytes).into_iter().map(Some).collect(),
                _ => self.floats(&bytes).into_iter().map(Some).collect(),
            };
            let size = bytes.len() / values.len().max(1);
            for Range { start, end } in memory.unwritten(at) {
                values[start / size..end.div_ceil(size)].fill(None);
            }
            (buffer, values)
        });
        Done { outputs: outputs.collect(), kernel, launches }
    }

    fn floats(&self, bytes: &[u8]) -> Vec<f32> {
        let halves: Vec<u16> = bytemuck::pod_collect_to_vec(bytes);
        match self.dtype {
            DType::F16 => halves.into_iter().map(|bits| half::f16::from_bits(bits).to_f32()).collect(),
            _ => halves.into_iter().map(|bits| half::bf16::from_bits(bits).to_f32()).collect(),
        }
    }

    /// Half a unit in the last place, and what sums in f32 may lose.
    fn check(&self, name: &str, found: &[Option<f32>], expected: &[Option<f64>]) {
        assert_eq!(found.len(), expected.len(), "{name}");
        let (relative, mut worst) = (if self.dtype == DType::Bf16 { 1.0 / 256.0 } else { 1.0 / 2048.0 }, 0.0f64);
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            match (found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => {
                    let error = (f64::from(*found) - expected).abs();
                    worst = worst.max(error / (expected.abs() * relative + 1e-3));
                    assert!(error <= expected.abs() * relative + 1e-3, "{name} at {at}: {found}, not {expected}");
                }
                other => panic!("{name} at {at}: written and expected are {other:?}"),
            }
        }
        println!("{name}: {} values, worst {worst:.3} of the tolerance", found.len());
    }

    /// Rows of Q that are computed, `[B, N, H]`.
    fn computed_rows(&self) -> Vec<[usize; 3]> {
        let s = &self.stream;
        let all = (0..s.batch).flat_map(|b| (s.first..s.first + s.rows).map(move |token| (b, token)));
        all.flat_map(|(b, token)| (0..s.heads).map(move |h| [b, token, h]))
            .filter(|&[b, token, h]| self.active(b, h, token))
            .collect()
    }

    fn expected_q(&self) -> Vec<Option<f64>> {
        let (s, p) = (&self.stream, &self.projection);
        let (x, w, d) = (self.values(Buffer::X), self.values(Buffer::W), s.head_dim);
        let (bias, weight) = (self.values(Buffer::Bias), self.values(Buffer::NormWeight));
        let (cos, sin) = (self.values(Buffer::RopeCos), self.values(Buffer::RopeSin));
        let mut q = vec![None; s.head_shape().iter().product()];
        for [b, token, h] in self.computed_rows() {
            let x = &x[(b * s.rows + token - s.first) * s.width..][..s.width];
            let mut row: Vec<f64> = (0..d)
                .map(|c| dot(x, &w[(h * d + c) * s.width..]) + if p.bias { bias[h * d + c] } else { 0.0 })
                .collect();
            if p.norm {
                let mean = dot(&row, &row) / d as f64;
                row.iter_mut().zip(&weight).for_each(|(x, weight)| *x *= weight / (mean + f64::from(EPS)).sqrt());
            }
            if let Some(pairs) = p.rope {
                for i in 0..d / 2 {
                    let ([first, second], at) = (pairs.channels(i, d), token * (d / 2) + i);
                    let (a, b) = (row[first], row[second]);
                    (row[first], row[second]) = (a * cos[at] - b * sin[at], b * cos[at] + a * sin[at]);
                }
            }
            let to = ((b * s.tokens + token) * s.heads + h) * d;
            q[to..to + d].iter_mut().zip(row).for_each(|(to, value)| *to = Some(value));
        }
        q
    }

    /// Means of the rows that were stored.
    fn expected_means(&self, q: &[Option<f32>]) -> Vec<Option<f64>> {
        let (s, d) = (&self.stream, self.stream.head_dim);
        let mut means = vec![None; s.batch * s.heads * s.blocks() * d];
        for (b, h, i) in places(s).filter(|&(_, _, i)| s.own_blocks().contains(&i)) {
            let tokens = s.tokens_of(i);
            if self.active(b, h, tokens.start) {
                for c in 0..d {
                    let value = |token: usize| f64::from(q[((b * s.tokens + token) * s.heads + h) * d + c].unwrap());
                    let sum: f64 = tokens.clone().map(value).sum();
                    means[((b * s.heads + h) * s.blocks() + i) * d + c] = Some(sum / tokens.len() as f64);
                }
            }
        }
        means
    }

    /// Σ O_h·W_hᵀ over active heads, and over cached ones.
    fn products(&self, o: &[f64]) -> [Vec<f64>; 2] {
        let (s, w, d) = (&self.stream, self.values(Buffer::W), self.stream.head_dim);
        let mut sums = [0, 1].map(|_| vec![0.0; s.model_shape().iter().product()]);
        for (b, token) in (0..s.batch).flat_map(|b| (s.first..s.first + s.rows).map(move |token| (b, token))) {
            for h in 0..s.heads {
                let o = &o[((b * s.tokens + token) * s.heads + h) * d..][..d];
                let y = &mut sums[usize::from(!self.active(b, h, token))][(b * s.rows + token - s.first) * s.width..];
                y[..s.width].iter_mut().enumerate().for_each(|(c, y)| *y += dot(o, &w[(c * s.heads + h) * d..]));
            }
        }
        sums
    }

    fn expected_y(&self, [active, cached]: &[Vec<f64>; 2]) -> Vec<Option<f64>> {
        let (s, p) = (&self.stream, &self.projection);
        let mut y = if p.summed == Summed::Cached { cached.clone() } else { active.clone() };
        if p.summed == Summed::Both {
            y.iter_mut().zip(cached).for_each(|(y, cached)| *y += cached);
        }
        for (k, &factor) in self.coefficients.iter().enumerate() {
            let known = self.values(Buffer::PartialIn(k));
            y.iter_mut().zip(known).for_each(|(y, known)| *y += f64::from(factor) * known);
        }
        if p.bias {
            let bias = self.values(Buffer::Bias);
            y.iter_mut().enumerate().for_each(|(at, y)| *y += bias[at % s.width]);
        }
        y.into_iter().map(Some).collect()
    }

    /// Runs a projection to heads and checks everything about it.
    fn check_q(&self) -> Done {
        let (s, done) = (&self.stream, self.run());
        let name = format!("{} {}", done.kernel.name, self.target);
        self.check(&name, &done.outputs[&Buffer::QOut], &self.expected_q());
        if self.projection.means {
            let (found, q) = (&done.outputs[&Buffer::BlockMeans], &done.outputs[&Buffer::QOut]);
            for (at, (found, expected)) in found.iter().zip(self.expected_means(q)).enumerate() {
                let close = |(found, expected): (f32, f64)| (f64::from(found) - expected).abs() < 1e-5;
                assert_eq!(found.is_some(), expected.is_some(), "{name}: mean {at}");
                assert!(found.zip(expected).is_none_or(close), "{name}: mean {at}: {found:?}, not {expected:?}");
            }
        }
        // Products are those of warps with computed rows, copies those of tiles.
        let RoomPlan::GemmQ(GemmPlan { tile_q, .. }) = done.kernel.plan.room else { panic!("{name} is not of gemm_q") };
        let (tile, d) = (tile_q as usize, s.head_dim);
        let warp = tile / 4;
        let (mut warps, mut tiles) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for [b, token, h] in self.computed_rows() {
            warps.insert([b, token / warp, h]);
            tiles.insert([b, token / tile, h]);
        }
        let product = done.launches.last().unwrap();
        assert_eq!(product.mma_flops as usize, warps.len() * 2 * warp * d * s.width.next_multiple_of(64), "{name}");
        let copied = (self.computed_rows().len() + tiles.len() * d) * s.width * 2;
        assert_eq!(product.global_copies.bytes as usize, copied, "{name}");
        done
    }

    /// Runs a projection back to the model width and checks everything about it.
    fn check_o(&self) -> Done {
        self.check_o_of(&self.products(&self.values(Buffer::O)))
    }

    /// The same; what active and cached heads come to is known.
    fn check_o_of(&self, products: &[Vec<f64>; 2]) -> Done {
        let done = self.run();
        let name = format!("{} {}", done.kernel.name, self.target);
        self.check(&name, &done.outputs[&Buffer::Y], &self.expected_y(products));
        if self.projection.summed == Summed::Both {
            let cached: Vec<Option<f64>> = products[1].iter().copied().map(Some).collect();
            self.check(&format!("{name}, partial"), &done.outputs[&Buffer::PartialOut(0)], &cached);
        }
        self.check_work(&name, done.launches.last().unwrap(), |b, h, token| match self.projection.summed {
            Summed::Active => self.active(b, h, token),
            Summed::Cached => !self.active(b, h, token),
            Summed::Both => true,
        });
        done
    }

    /// Products are those of warps whose rows sum a head, copies of O those rows, copies of W the heads of a tile.
    fn check_work(&self, name: &str, stats: &Stats, sums: impl Fn(usize, usize, usize) -> bool) {
        let (s, d) = (&self.stream, self.stream.head_dim);
        let (mut rows, mut warps, mut tiles) = (0, std::collections::BTreeSet::new(), Vec::new());
        for (b, h) in (0..s.batch).flat_map(|b| (0..s.heads).map(move |h| (b, h))) {
            for token in (s.first..s.first + s.rows).filter(|&token| sums(b, h, token)) {
                rows += 1;
                warps.insert([b, token / 32, h]);
                // A head that is cached in one block and active in another is read for both.
                tiles.push((b, token / 128, h, self.projection.summed == Summed::Both && self.active(b, h, token)));
            }
        }
        tiles.sort_unstable();
        tiles.dedup();
        let column_tiles = s.width.div_ceil(128);
        assert_eq!(stats.mma_flops as usize, warps.len() * column_tiles * 2 * 32 * 128 * d, "{name}");
        let copied = (rows * column_tiles + tiles.len() * s.width) * d * 2;
        assert_eq!(stats.global_copies.bytes as usize, copied, "{name}");
    }
}

/// Written for builds without optimisation: most of this file's time is spent here.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (mut sum, mut at) = (0.0, 0);
    while at < a.len() {
        sum += a[at] * b[at];
        at += 1;
    }
    sum
}

/// Numbers between -1 and 1, the same on every machine.
fn drawn(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn places(s: &Stream) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
    let (batch, heads, blocks) = (s.batch, s.heads, s.blocks());
    (0..batch).flat_map(move |b| (0..heads).flat_map(move |h| (0..blocks).map(move |i| (b, h, i))))
}

fn pattern(s: &Stream, computes: impl Fn(usize, usize, usize) -> bool) -> CacheSymbol {
    let mut s_c = CacheSymbol::ones(s.batch, s.heads, s.blocks());
    places(s).for_each(|(b, h, i)| s_c.set(b, h, i, computes(b, h, i)));
    s_c
}

const DENSE: Projection = Projection {
    sparse: false,
    bias: false,
    norm: false,
    rope: None,
    means: false,
    summed: Summed::Active,
    partials: false,
    differences: false,
};
const SPARSE: Projection = Projection { sparse: true, ..DENSE };
const FULL: Projection = Projection { bias: true, norm: true, rope: Some(RopePairs::Half), means: true, ..SPARSE };

#[test]
fn q_of_every_head_dimension() {
    for (head_dim, dtype, block) in [
        (64, DType::Bf16, 64),
        (96, DType::F16, 64),
        (128, DType::Bf16, 64),
        (128, DType::F16, 128),
        (256, DType::Bf16, 64),
    ] {
        let stream = Stream { head_dim, block, ..SIZES };
        Call { dtype, ..Call::new(Room::GemmQ, stream, SPARSE) }.check_q();
        Call { dtype, ..Call::new(Room::GemmQ, stream, FULL) }.check_q();
    }
}

/// K and V: their own heads, every tile; the block of the stream does not matter.
#[test]
fn k_and_v_have_no_cache_symbol() {
    let stream = Stream { heads: 2, head_dim: 64, block: 48, ..SIZES };
    let interleaved = Projection { norm: true, rope: Some(RopePairs::Interleaved), ..DENSE };
    for projection in [DENSE, Projection { bias: true, ..DENSE }, interleaved] {
        Call::new(Room::GemmQ, stream, projection).check_q();
    }
    Call::new(Room::GemmQ, Stream { head_dim: 256, ..stream }, interleaved).check_q();
}

#[test]
fn a_stream_may_start_and_end_anywhere() {
    let means = Projection { means: true, bias: true, ..SPARSE };
    for (first, rows, block, projection) in
        [(128, 172, 64, means), (64, 130, 64, SPARSE), (50, 100, 32, SPARSE), (200, 9, 96, SPARSE)]
    {
        let stream = Stream { tokens: 300, first, rows, block, head_dim: 64, ..SIZES };
        Call::new(Room::GemmQ, stream, projection).check_q();
        Call::new(Room::GemmO, stream, Projection { bias: true, ..SPARSE }).check_o();
    }
}

#[test]
fn the_cache_symbol_may_be_anything() {
    let stream = Stream { head_dim: 64, heads: 70, tokens: 160, rows: 160, width: 40, batch: 1, ..SIZES };
    let patterns: [fn(usize, usize, usize) -> bool; 4] =
        [|_, _, _| true, |_, _, _| false, |_, h, i| h == 66 && i == 1, |_, h, i| (h * 7 + i * 3) % 5 == 0];
    for computes in patterns {
        let s_c = pattern(&stream, computes);
        let q = Call { s_c: s_c.clone(), ..Call::new(Room::GemmQ, stream, SPARSE) }.check_q();
        let any = |b, h, i: usize| (i..(i + 2).min(stream.blocks())).any(|i| s_c.get(b, h, i));
        let ctas = places(&stream).filter(|&(b, h, i)| i % 2 == 0 && any(b, h, i)).count();
        assert_eq!(q.launches[0].global_stores.bytes as usize, 4 * (ctas + 1), "the list has the computed tiles");
        let mut call = Call { s_c, ..Call::new(Room::GemmO, stream, SPARSE) };
        let products = call.products(&call.values(Buffer::O));
        for summed in [Summed::Active, Summed::Cached, Summed::Both] {
            call.projection.summed = summed;
            call.check_o_of(&products);
        }
    }
}

#[test]
fn y_of_every_head_dimension() {
    for (head_dim, dtype, block, width) in [
        (64, DType::F16, 128, 200),
        (96, DType::Bf16, 64, 136),
        (128, DType::Bf16, 64, 72),
        (256, DType::F16, 128, 128),
    ] {
        let stream = Stream { head_dim, block, width, batch: 1, ..SIZES };
        let call = Call { dtype, ..Call::new(Room::GemmO, stream, SPARSE) };
        let products = call.products(&call.values(Buffer::O));
        for summed in [Summed::Active, Summed::Cached, Summed::Both] {
            Call { dtype, ..Call::new(Room::GemmO, stream, Projection { summed, ..SPARSE }) }.check_o_of(&products);
            let whole = Projection { summed, bias: true, partials: true, ..SPARSE };
            Call { dtype, ..Call::new(Room::GemmO, stream, whole) }.check_o_of(&products);
        }
        Call { dtype, ..Call::new(Room::GemmO, stream, Projection { bias: true, ..DENSE }) }.check_o();
    }
}

#[test]
fn stages_differ_by_target() {
    let stream = Stream { batch: 1, heads: 2, ..SIZES };
    for target in ["sm_89", "sm_90", "sm_120"] {
        Call { target, ..Call::new(Room::GemmQ, Stream { width: 328, ..stream }, FULL) }.check_q();
        let whole = Projection { summed: Summed::Both, bias: true, partials: true, ..SPARSE };
        Call { target, ..Call::new(Room::GemmO, stream, whole) }.check_o();
    }
}

#[test]
fn differences_of_outputs_are_projected_for_cached_heads() {
    let projection = Projection { differences: true, ..SPARSE };
    for (first, rows, head_dim) in [(0, 170, 128), (70, 90, 64)] {
        let stream = Stream { first, rows, head_dim, ..SIZES };
        let weights = vec![vec![1.0, -1.0, 0.0], vec![0.5, -1.0, 0.5]];
        let call = Call { weights: weights.clone(), ..Call::new(Room::GemmO, stream, projection) };
        let done = call.run();
        for (k, weights) in weights.iter().enumerate() {
            let mut difference = vec![0.0; stream.head_shape().iter().product()];
            for (j, &weight) in weights.iter().enumerate() {
                let output = call.values(Buffer::Output(j));
                difference.iter_mut().zip(output).for_each(|(sum, x)| *sum += f64::from(weight) * x);
            }
            // They are rounded before they are projected.
            let rounded: Vec<f32> = difference.iter().map(|&x| x as f32).collect();
            let rounded = Tensor::from_f32(&stream.head_shape(), call.dtype, &rounded).to_f32();
            let rounded: Vec<f64> = rounded.into_iter().map(f64::from).collect();
            let [_, cached] = call.products(&rounded);
            let expected: Vec<Option<f64>> = cached.into_iter().map(Some).collect();
            call.check(&format!("order {}", k + 1), &done.outputs[&Buffer::PartialOut(k)], &expected);
        }
        let read = places(&stream).filter(|&(b, h, i)| !call.s_c.get(b, h, i)).map(|(.., i)| stream.tokens_of(i).len());
        let read = read.sum::<usize>() * head_dim * 2;
        assert!(done.launches[0].global_loads.bytes as usize >= 3 * read);
        assert_eq!(done.launches[0].global_stores.bytes as usize, 2 * read);
    }
}

/// A head's weights are NaN: only rows that sum it see them. O of heads that nobody sums is never read.
#[test]
fn not_a_number_stays_where_it_belongs() {
    let stream = Stream { batch: 1, tokens: 256, rows: 256, head_dim: 64, ..SIZES };
    let mut call = Call::new(Room::GemmO, stream, SPARSE);
    call.s_c = pattern(&stream, |_, h, i| h != 1 || i == 2);
    let mut w = drawn(stream.width * 3 * 64, 2);
    w.iter_mut().enumerate().filter(|(at, _)| at / 64 % 3 == 1).for_each(|(_, w)| *w = f32::NAN);
    let mut o = drawn(256 * 3 * 64, 7);
    let cached = |at: usize| !call.s_c.get(0, at / 64 % 3, at / (3 * 64) / 64);
    o.iter_mut().enumerate().filter(|(at, _)| cached(*at)).for_each(|(_, o)| *o = f32::NAN);
    call.inputs = HashMap::from([(Buffer::W, w), (Buffer::O, o)]);
    let y = &call.run().outputs[&Buffer::Y];
    for (at, y) in y.iter().enumerate() {
        let block = at / stream.width / 64;
        assert_eq!(y.unwrap().is_nan(), block == 2, "row {}", at / stream.width);
    }
}
