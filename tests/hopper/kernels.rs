//! The two kernels, and launches of them on the emulator.

use ptx_emulator::{Buffer, Element, Fill, Launch, LaunchError, Memory, Options, Program, Stats, TensorMap, Trap};
use sparsym::kernel::nvrtc::{Nvrtc, Source};

use crate::numbers::{self, Numbers};

/// A kernel beside this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kernel {
    Attention,
    Gemm,
}

/// Shapes of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Problem {
    Attention { heads: usize, n_q: usize, n_kv: usize },
    Gemm { m: usize, n: usize, k: usize, ctas: u32 },
}

/// How a launch ended.
pub(crate) enum Outcome {
    /// Everything is right; the largest error of each result, as text, and what was counted.
    Right(String, Box<Stats>),
    Wrong(String),
    Trapped(Box<Trap>),
    /// The emulator takes the text or the launch not at all.
    Refused(String),
}

const HEAD_DIM: usize = 128;
const TILE: usize = 128;
/// Columns of a box, 128 bytes: the span of the swizzle.
const PANEL: usize = 64;
const BF16_BYTES: usize = 2;
const THREADS: u32 = 384;

impl Kernel {
    pub(crate) const ALL: [Kernel; 2] = [Kernel::Attention, Kernel::Gemm];

    /// Name of its files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kernel::Attention => "attention",
            Kernel::Gemm => "gemm",
        }
    }

    fn entry(self) -> &'static str {
        match self {
            Kernel::Attention => "attention_d128_bf16",
            Kernel::Gemm => "gemm_bf16",
        }
    }

    /// All of its text.
    pub(crate) fn text(self) -> String {
        let own = match self {
            Kernel::Attention => include_str!("attention.cu"),
            Kernel::Gemm => include_str!("gemm.cu"),
        };
        format!("{}{own}", include_str!("ptx/hopper.cuh"))
    }

    /// Behind the ring and, of a GEMM, C: its mbarriers.
    fn shared_bytes(self) -> u32 {
        let barriers = match self {
            Kernel::Attention => 9,
            Kernel::Gemm => 8,
        };
        163_840 + 8 * barriers
    }

    /// Small shapes in which everything happens: several laps of the ring, ragged ends of every axis, of a GEMM several tiles
    /// for each CTA.
    pub(crate) fn usual(self) -> Problem {
        match self {
            Kernel::Attention => Problem::Attention { heads: 2, n_q: 200, n_kv: 450 },
            Kernel::Gemm => Problem::Gemm { m: 300, n: 200, k: 328, ctas: 2 },
        }
    }

    /// Shapes at the edges.
    pub(crate) fn others(self) -> &'static [Problem] {
        match self {
            Kernel::Attention => &[
                Problem::Attention { heads: 1, n_q: 128, n_kv: 128 },
                Problem::Attention { heads: 3, n_q: 130, n_kv: 1 },
                Problem::Attention { heads: 1, n_q: 8, n_kv: 1000 },
            ],
            Kernel::Gemm => &[
                Problem::Gemm { m: 128, n: 128, k: 64, ctas: 1 },
                Problem::Gemm { m: 8, n: 520, k: 72, ctas: 3 },
                Problem::Gemm { m: 257, n: 64, k: 640, ctas: 132 },
            ],
        }
    }
}

impl Problem {
    pub(crate) fn kernel(self) -> Kernel {
        match self {
            Problem::Attention { .. } => Kernel::Attention,
            Problem::Gemm { .. } => Kernel::Gemm,
        }
    }
}

/// PTX of a text, which may hold planted bugs.
///
/// # Errors
/// What the compiler says.
pub(crate) fn compile(kernel: Kernel, text: &str, nvrtc: &Nvrtc) -> Result<String, String> {
    let source =
        Source { name: kernel.entry(), strategy: "tests/hopper", text, target: "compute_90a", template: &|_| None };
    let ptx = nvrtc.ptx(&source).map_err(|error| error.to_string())?;
    String::from_utf8(ptx).map_err(|error| error.to_string())
}

/// Launches the kernel of a PTX text.
pub(crate) fn run(problem: Problem, ptx: &str, options: &Options) -> Outcome {
    let numbers = numbers::of(problem);
    let program = match Program::load(ptx) {
        Ok(program) => program,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let kernel = match program.kernel(problem.kernel().entry()) {
        Ok(kernel) => kernel,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let mut memory = Memory::new();
    let placed = Placed::new(problem, &numbers, &mut memory);
    let launch = Launch {
        grid: placed.grid,
        block: [THREADS, 1, 1],
        dynamic_shared: problem.kernel().shared_bytes(),
        params: &placed.params,
    };
    match kernel.launch(&memory, &launch, options) {
        Ok(stats) => match numbers.expected.check(&placed.results(&memory)) {
            Ok(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                Outcome::Right(errors.join(", "), Box::new(stats))
            }
            Err(wrong) => Outcome::Wrong(wrong),
        },
        Err(LaunchError::Trap(trap)) => Outcome::Trapped(trap),
        Err(refused) => Outcome::Refused(refused.to_string()),
    }
}

/// A problem in the memory of the emulator.
struct Placed {
    grid: [u32; 3],
    params: Vec<u8>,
    /// In bf16.
    result: Buffer,
    /// In f32.
    lse: Option<Buffer>,
}

impl Placed {
    fn new(problem: Problem, numbers: &Numbers, memory: &mut Memory) -> Placed {
        let tensors = ["first input", "second input", "third input"].into_iter().zip(&numbers.inputs);
        let inputs: Vec<Buffer> = tensors.map(|(name, input)| memory.upload_constant(name, input.bytes())).collect();
        match problem {
            Problem::Attention { heads, n_q, n_kv } => {
                let out = memory.alloc("o", n_q * heads * HEAD_DIM * BF16_BYTES);
                let lse = memory.alloc("lse", heads * n_q * 4);
                let rows = |buffer, tokens, rows| map(buffer, &[HEAD_DIM, heads, tokens], &[PANEL, 1, rows]);
                let mut params = [
                    rows(inputs[0], n_q, TILE),
                    rows(inputs[1], n_kv, TILE),
                    rows(inputs[2], n_kv, TILE),
                    rows(out, n_q, TILE / 2),
                ]
                .concat();
                params.extend(lse.address().to_le_bytes());
                params.extend((n_q as i32).to_le_bytes());
                params.extend((n_kv as i32).to_le_bytes());
                params.extend((numbers::scale() * std::f32::consts::LOG2_E).to_le_bytes());
                params.extend([0; 4]); // to a multiple of the pointer's alignment
                let grid = [n_q.div_ceil(TILE) as u32, heads as u32, 1];
                Placed { grid, params, result: out, lse: Some(lse) }
            }
            Problem::Gemm { m, n, k, ctas } => {
                let out = memory.alloc("c", m * n * BF16_BYTES);
                let rows = |buffer, count, width, rows| map(buffer, &[width, count], &[PANEL, rows]);
                let mut params =
                    [rows(inputs[0], m, k, TILE), rows(inputs[1], n, k, TILE), rows(out, m, n, TILE / 2)].concat();
                let (tiles_m, tiles_n) = (m.div_ceil(TILE), n.div_ceil(TILE));
                for count in [tiles_m, tiles_n, k.div_ceil(PANEL)] {
                    params.extend((count as i32).to_le_bytes());
                }
                let grid = [ctas.min((tiles_m * tiles_n) as u32), 1, 1];
                Placed { grid, params, result: out, lse: None }
            }
        }
    }

    /// Bytes that nothing wrote are NaN.
    fn results(&self, memory: &Memory) -> Vec<Vec<f32>> {
        let halves = memory.download(self.result);
        let bf16 = |pair: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([pair[0], pair[1]])) << 16);
        let result = halves.chunks_exact(2).map(bf16).collect();
        let words = |lse: Buffer| memory.download(lse);
        let f32_of = |word: &[u8]| f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let lse = self.lse.map(|lse| words(lse).chunks_exact(4).map(f32_of).collect());
        [result].into_iter().chain(lse).collect()
    }
}

/// A dense tensor of bf16, swizzled by 128 bytes; extents and box innermost first.
fn map(buffer: Buffer, extents: &[usize], box_extents: &[usize]) -> [u8; 128] {
    let mut map = TensorMap {
        element: Element::Bf16,
        fill: Fill::Zeros,
        rank: extents.len() as u8,
        swizzle_bytes: 128,
        address: buffer.address(),
        extents: [1; 5],
        strides: [0; 4],
        box_extents: [1; 5],
        element_strides: [1; 5],
    };
    let mut stride = BF16_BYTES;
    for (axis, (&extent, &size)) in extents.iter().zip(box_extents).enumerate() {
        if axis > 0 {
            map.strides[axis - 1] = stride as u64;
        }
        map.extents[axis] = extent as u64;
        map.box_extents[axis] = size as u16;
        stride *= extent;
    }
    map.encode()
}
