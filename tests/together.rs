//! Projections that share a launch: the same bits as one after another, few launches, and what cannot share one.

use std::sync::{Arc, Mutex};

use sparsym::device::kernels::{Backend, Boxed, Contents, KernelLaunch};
use sparsym::device::session::{ArrayError, Call};
use sparsym::device::{Array, BitArray, Cost, Device, Emulator, KernelDevice, Session};
use sparsym::engine::{Engine, StepKind};
use sparsym::ir::problem::DType;
use sparsym::ir::projection::{RmsNorm, Rope, RopePairs, Stream};
use sparsym::ir::symbols::BitRows;
use sparsym::ir::{GemmQ, Tensor};
use sparsym::kernel::nvrtc::Image;
use sparsym::kernel::{Kernel, Room, RoomPlan, Target};
use sparsym::zoo::FlashOmni;
use sparsym::{Error, StrategyType};
use sparsym_mm_dit::{Block, BlockWeights, Shape, input};
use sparsym_tests::devices;

const TOKENS: usize = 330;
const BLOCK: usize = 64;
const HEAD_DIM: usize = 64;

/// A part of the sequence, its width, and what its projections to queries have.
struct Part {
    first: usize,
    rows: usize,
    width: usize,
    norm: bool,
    rope: bool,
}

/// Text and vision part inside a block; the second norm is left out, and so is the first rotation.
const PARTS: [Part; 2] = [
    Part { first: 0, rows: 70, width: 72, norm: true, rope: false },
    Part { first: 70, rows: 260, width: 136, norm: false, rope: true },
];
/// Heads of Q, and of K and V.
const HEADS: [usize; 2] = [5, 3];

/// The arrays of a layer's projections.
struct Arrays {
    x: Vec<Array>,
    /// For each part to Q, K and V.
    w: Vec<[Array; 3]>,
    bias: [Array; 2],
    norm_weight: Array,
    tables: [Array; 2],
    s_c: BitArray,
}

/// Q, K and V.
type Results = [Array; 3];

fn numbers(shape: &[usize], dtype: DType, seed: usize) -> Tensor {
    let value = |n: usize| ((n * 37 + seed * 101 + n / 61) % 64) as f32 / 64.0 - 0.5;
    Tensor::from_f32(shape, dtype, &(0..shape.iter().product()).map(value).collect::<Vec<_>>())
}

fn session(name: &str) -> Arc<dyn Session> {
    match devices::find(name) {
        devices::Availability::Present(column) => column.device.session().unwrap(),
        devices::Availability::Absent { reason } => panic!("{name}: {reason}"),
    }
}

impl Arrays {
    fn new(session: &Arc<dyn Session>) -> Arrays {
        let place =
            |shape: &[usize], dtype, seed| Array::place(session, "input", &numbers(shape, dtype, seed)).unwrap();
        let half = |shape: &[usize], seed| place(shape, DType::Bf16, seed);
        let columns = [HEADS[0], HEADS[1], HEADS[1]].map(|heads| heads * HEAD_DIM);
        let weights = |n: usize, width| [0, 1, 2].map(|of| half(&[columns[of], width], 10 * n + of));
        let table = |seed| place(&[TOKENS, HEAD_DIM / 2], DType::F32, seed);
        let blocks = TOKENS.div_ceil(BLOCK);
        let words = (0..blocks as u64).map(|block| (0x2b6d_9a51 >> (3 * block)) & 0x1f).collect();
        Arrays {
            x: PARTS.iter().enumerate().map(|(n, part)| half(&[1, part.rows, part.width], n)).collect(),
            w: PARTS.iter().enumerate().map(|(n, part)| weights(n, part.width)).collect(),
            bias: [half(&[columns[0]], 31), half(&[columns[1]], 32)],
            norm_weight: half(&[HEAD_DIM], 33),
            tables: [table(34), table(35)],
            s_c: BitArray::place(session, "s_c", &BitRows::from_words(blocks, HEADS[0], words)).unwrap(),
        }
    }

    /// Q with a bias where S_c is 1, K with a norm and a rotation, V alone; of each part.
    fn calls<'a>(&'a self, results: &'a Results) -> Vec<Call<'a>> {
        let of = |(n, part): (usize, &Part)| {
            let Part { first, rows, width, norm, rope } = *part;
            let heads = [HEADS[0], HEADS[1], HEADS[1]];
            let [cos, sin] = &self.tables;
            let norm_of = |has: bool| has.then_some(RmsNorm { weight: &self.norm_weight, eps: 1e-6 });
            let rope_of = |has: bool| has.then_some(Rope { cos, sin, pairs: RopePairs::Half });
            let call = |of: usize| {
                let stream = Stream {
                    batch: 1,
                    tokens: TOKENS,
                    first,
                    rows,
                    width,
                    heads: heads[of],
                    head_dim: HEAD_DIM,
                    block: BLOCK,
                };
                let call = GemmQ {
                    stream,
                    x: &self.x[n],
                    w: &self.w[n][of],
                    bias: (of == 0).then_some(&self.bias[0]),
                    norm: norm_of(of == 0 && norm || of == 1),
                    rope: rope_of(of == 0 && rope || of == 1),
                    s_c: (of == 0).then_some(&self.s_c),
                };
                Call::GemmQ { call, q: &results[of], means: None }
            };
            [call(0), call(1), call(2)]
        };
        PARTS.iter().enumerate().flat_map(of).collect()
    }
}

fn results(session: &Arc<dyn Session>) -> Results {
    [HEADS[0], HEADS[1], HEADS[1]].map(|heads| {
        let untouched = vec![-7.0; TOKENS * heads * HEAD_DIM];
        let tensor = Tensor::from_f32(&[1, TOKENS, heads, HEAD_DIM], DType::Bf16, &untouched);
        Array::place(session, "result", &tensor).unwrap()
    })
}

fn read(results: &Results) -> Vec<Tensor> {
    results.iter().map(|array| array.read().unwrap()).collect()
}

/// Warps in order, at random, and copies as early and as late as may be.
#[test]
fn together_gives_the_bits_of_one_after_another() {
    for name in ["cpu", "emulator sm_90a", "emulator sm_90a seed 1", "emulator sm_90a seed 2"] {
        let session = session(name);
        let arrays = Arrays::new(&session);
        let (alone, together) = (results(&session), results(&session));
        for call in arrays.calls(&alone) {
            session.run_once(&call).unwrap();
        }
        let calls = arrays.calls(&together);
        assert!(session.takes_together(&calls), "{name}");
        session.run_once(&Call::Together(calls)).unwrap();
        assert_eq!(read(&alone), read(&together), "{name}");
        assert!(read(&alone)[0].to_f32().contains(&-7.0), "a cached block stays as it was");
    }
}

#[test]
fn what_cannot_share_a_launch_is_refused() {
    let on_sm_80 = session("emulator");
    let arrays = Arrays::new(&on_sm_80);
    let made = results(&on_sm_80);
    assert!(!on_sm_80.takes_together(&arrays.calls(&made)), "the portable schedule has no such kernel");
    let error = on_sm_80.run_once(&Call::Together(arrays.calls(&made))).unwrap_err().to_string();
    assert!(error.contains("S602") && error.contains("one by one") && error.contains("help: "), "{error}");

    let session = session("emulator sm_90a");
    let arrays = Arrays::new(&session);
    let made = results(&session);
    let refused = |change: &dyn Fn(&mut Vec<Call<'_>>)| {
        let mut calls = arrays.calls(&made);
        change(&mut calls);
        assert!(!session.takes_together(&calls));
        session.run_once(&Call::Together(calls)).unwrap_err()
    };
    let error = refused(&|calls| {
        if let Call::GemmQ { call, .. } = &mut calls[1] {
            call.rope.as_mut().unwrap().pairs = RopePairs::Interleaved;
        }
    });
    assert!(error.to_string().contains("two kinds of rotary embeddings"), "{error}");
    let error = refused(&|calls| calls.clear());
    assert!(error.to_string().contains("no calls at all"), "{error}");
    // Two parts that write the same rows.
    let mut calls = arrays.calls(&made);
    calls.push(calls[0].clone());
    let error = session.run_once(&Call::Together(calls)).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ArrayError::Aliased { .. })), "{error}");
}

/// An emulator that notes what is launched: the room, and the launches of its kernel.
struct Counting {
    emulator: Emulator,
    launched: Arc<Mutex<Vec<(Room, usize)>>>,
}

impl Backend for Counting {
    type Function = <sparsym::device::emulator::EmulatorBackend as Backend>::Function;
    type Memory = <sparsym::device::emulator::EmulatorBackend as Backend>::Memory;
    type Buffer = <sparsym::device::emulator::EmulatorBackend as Backend>::Buffer;

    fn name(&self) -> &'static str {
        self.emulator.backend().name()
    }

    fn target(&self) -> Target {
        self.emulator.backend().target()
    }

    fn shared_bytes(&self) -> Result<u32, Error> {
        self.emulator.backend().shared_bytes()
    }

    fn multiprocessors(&self) -> u32 {
        self.emulator.backend().multiprocessors()
    }

    fn load(&self, kernel: &Kernel, image: Image) -> Result<Self::Function, Error> {
        self.emulator.backend().load(kernel, image)
    }

    fn memory(&self) -> Self::Memory {
        self.emulator.backend().memory()
    }

    fn place(&self, memory: &mut Self::Memory, name: &str, contents: &Contents<'_>) -> Result<Self::Buffer, Error> {
        self.emulator.backend().place(memory, name, contents)
    }

    fn write(&self, memory: &mut Self::Memory, buffer: &mut Self::Buffer, bytes: &[u8]) -> Result<(), Error> {
        self.emulator.backend().write(memory, buffer, bytes)
    }

    fn release(&self, memory: &mut Self::Memory, buffer: Self::Buffer) {
        self.emulator.backend().release(memory, buffer);
    }

    fn address(&self, buffer: &Self::Buffer) -> u64 {
        self.emulator.backend().address(buffer)
    }

    fn tensor_map(&self, buffer: &Self::Buffer, of: &Boxed) -> Result<[u8; 128], Error> {
        self.emulator.backend().tensor_map(buffer, of)
    }

    fn launch(
        &self,
        function: &Self::Function,
        memory: &Self::Memory,
        launch: &KernelLaunch<'_>,
    ) -> Result<Cost, Error> {
        let room = match launch.kernel.plan.room {
            RoomPlan::GemmQ(_) => Room::GemmQ,
            RoomPlan::Symbols(_) => Room::Symbols,
            RoomPlan::Attention(_) => Room::Attention,
            RoomPlan::GemmO(_) => Room::GemmO,
        };
        self.launched.lock().unwrap().push((room, launch.kernel.launches.len()));
        self.emulator.backend().launch(function, memory, launch)
    }

    fn no_cost(&self) -> Cost {
        self.emulator.backend().no_cost()
    }

    fn download(&self, memory: &Self::Memory, buffer: &Self::Buffer) -> Result<Vec<u8>, Error> {
        self.emulator.backend().download(memory, buffer)
    }
}

/// The layers of FLUX with fewer tokens and heads: Q, K and V of both streams are one launch, and a list before it where some
/// tiles are cached.
#[test]
fn a_layer_of_two_streams_projects_in_one_launch() {
    let shape = Shape { text: 128, grid: [1, 16, 16], heads: 2, head_dim: 128, width: 64, block: 128, ..Shape::SMALL };
    let settings = sparsym::device::emulator::Settings {
        target: Target::parse("sm_90a").unwrap(),
        ..sparsym::device::emulator::Settings::default()
    };
    let launched = Arc::default();
    let counting = Counting { emulator: Emulator::open(settings).unwrap(), launched: Arc::clone(&launched) };
    let device: Arc<dyn Device> = Arc::new(KernelDevice::new(counting).unwrap());
    let engine = Engine::new(device).unwrap();
    let weights = BlockWeights::random(&engine, &shape, DType::Bf16, 1).unwrap();
    let params = FlashOmni { tau_q: 0.9, tau_kv: 0.4, interval: 3, warmup: 1, order: 1 }.bindings().unwrap();
    let block = Block::new(&engine, shape, &weights, FlashOmni::ir(), &params, 4).unwrap();
    let mut state = block.state().unwrap();
    let rooms = |step| {
        launched.lock().unwrap().clear();
        let done = block.step(step, &input(&shape, step, 4, 2, DType::Bf16), &mut state).unwrap();
        (done.reports[0].kind, launched.lock().unwrap().clone())
    };
    let kinds: Vec<(StepKind, Vec<(Room, usize)>)> = (0..2).map(rooms).collect();
    assert_eq!([kinds[0].0, kinds[1].0], [StepKind::Update, StepKind::Dispatch]);
    for ((kind, launched), projected) in kinds.iter().zip([1, 2]) {
        let of = |room| launched.iter().filter(move |(of, _)| *of == room).map(|(_, launches)| *launches);
        // Two layers, one call each.
        assert_eq!(of(Room::GemmQ).collect::<Vec<_>>(), [projected; 2], "{kind:?}");
    }
    // A Dispatch of both layers: list and projections, list and attention, and for each stream the projection back behind
    // the order of its rows, and the sum of the residual connection.
    assert_eq!(kinds[1].1.iter().map(|(_, launches)| launches).sum::<usize>(), 2 * (2 + 2 + 2 * (2 + 1)));
}
