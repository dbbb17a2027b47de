//! Attention in f64 on the device itself, by a plain kernel, and how far a result is from it.

use std::borrow::Cow;

use sparsym::Error;
use sparsym::device::kernels::{Contents, KernelLaunch};
use sparsym::device::{Backend, KernelDevice};
use sparsym::ir::strategy::Strategy;
use sparsym::ir::{AttentionOutput, DType, Problem};
use sparsym::kernel::nvrtc::Source;
use sparsym::kernel::{Compiler, Kernel, Request, Room, generate};

use super::draw::Drawn;

const ENTRY: &str = "exact";
const THREADS: u32 = 128;
/// Numbers that are told of a row.
const TOLD: usize = 6;

/// The kernel in `exact.cu`, loaded.
pub struct Judge<'a, B: Backend> {
    device: &'a KernelDevice<B>,
    kernel: Kernel,
    function: B::Function,
}

/// How far a result is from the truth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distance {
    /// Largest error of an element of O, as a share of what is allowed for it.
    pub o: f64,
    /// The same of lse.
    pub lse: f64,
    /// ‖error‖ / ‖truth‖ of computed rows of O that are finite.
    pub relative: f64,
    /// The same of plain loops in the precision of a kernel.
    pub yardstick: f64,
    /// Elements in those two.
    pub elements: f64,
}

/// Elements from which the two relative errors are comparable: of few ones each is a matter of luck.
const MANY: f64 = 4096.0;

impl Distance {
    /// Whether a kernel may be so far from the truth.
    ///
    /// # Errors
    /// In what it is too far.
    pub fn check(&self) -> Result<(), String> {
        let Distance { o, lse, relative, yardstick, elements } = *self;
        if o > 1.0 {
            return Err(format!("an element of O has {o:.3e} times the error that is allowed"));
        }
        if lse > 1.0 {
            return Err(format!("an lse has {lse:.3e} times the error that is allowed"));
        }
        // As in the corpus: sums in another order cost about as much again.
        if elements >= MANY && relative > 2.0 * yardstick + 2e-5 {
            return Err(format!(
                "‖O - truth‖ / ‖truth‖ is {relative:.3e}, and {yardstick:.3e} of plain loops in the same precision"
            ));
        }
        Ok(())
    }
}

impl<'a, B: Backend> Judge<'a, B> {
    /// Compiles and loads the kernel.
    ///
    /// # Errors
    /// Those of the compiler and of the device.
    pub fn new(device: &'a KernelDevice<B>) -> Result<Judge<'a, B>, Error> {
        // Any kernel, for what a backend asks of one: another text, and a launch that is ours.
        let mut kernel = generate(&Request::new(&Strategy::dense(), Room::Attention, device.target()))?;
        kernel.replace_source(text());
        kernel.name = ENTRY.to_owned();
        kernel.launches.truncate(1);
        let launch = &mut kernel.launches[0];
        (launch.entry, launch.threads, launch.shared_bytes) = (ENTRY.to_owned(), THREADS, 0);
        let source = Source {
            name: ENTRY,
            strategy: "tests",
            text: &kernel.source,
            target: device.target().name(),
            template: &|_| None,
        };
        let image = Compiler::new()?.compile_text(&source)?.image;
        let function = device.backend().load(&kernel, image)?;
        Ok(Judge { device, kernel, function })
    }

    /// How far a result of a call is from the truth.
    ///
    /// # Errors
    /// Those of the device.
    pub fn distance(&self, drawn: &Drawn, output: &AttentionOutput) -> Result<Distance, Error> {
        let backend = self.device.backend();
        let mut memory = backend.memory();
        let mut buffers = Vec::new();
        let mut place = |name: &str, contents: Contents<'_>| -> Result<u64, Error> {
            let buffer = backend.place(&mut memory, name, &contents)?;
            let address = backend.address(&buffer);
            buffers.push(buffer);
            Ok(address)
        };
        let problem = &drawn.problem;
        let starts = Starts::of(problem);
        let rows = starts.q[problem.batch] as usize;
        let mut params = Bytes::default();
        let [q, k, v] = &drawn.qkv;
        let lse: Vec<u8> = output.lse.iter().flat_map(|lse| lse.to_le_bytes()).collect();
        let features: Vec<u8> = drawn.features.iter().flat_map(|feature| feature.bytes().to_vec()).collect();
        let inputs: [(&str, Cow<'_, [u8]>); 11] = [
            ("q", q.bytes().into()),
            ("k", k.bytes().into()),
            ("v", v.bytes().into()),
            ("o", output.o.bytes().into()),
            ("lse", lse.into()),
            ("features", features.into()),
            ("s_c", drawn.computed.iter().map(|&bit| u8::from(bit)).collect::<Vec<_>>().into()),
            ("s_s", drawn.kept.iter().map(|&bit| u8::from(bit)).collect::<Vec<_>>().into()),
            ("q_start", bytes_of(&starts.q).into()),
            ("kv_start", bytes_of(&starts.kv).into()),
            ("lse_start", bytes_of(&starts.lse).into()),
        ];
        for (name, bytes) in inputs {
            params.u64(place(name, Contents::Input(bytes))?);
        }
        params.u64(place("found", Contents::Zeros(rows * problem.heads * TOLD * 8))?);
        params.scalars(drawn, &starts);
        let grids = [[problem.n_q as u32, problem.heads as u32, problem.batch as u32]];
        let launch = KernelLaunch { kernel: &self.kernel, grids: &grids, params: &params.0 };
        backend.launch(&self.function, &memory, &launch)?;
        let found = backend.download(&memory, &buffers[11])?;
        buffers.into_iter().for_each(|buffer| backend.release(&mut memory, buffer));
        Ok(distance(&found))
    }
}

fn distance(found: &[u8]) -> Distance {
    let words: Vec<f64> =
        found.chunks_exact(8).map(|word| f64::from_le_bytes(word.try_into().expect("8 bytes"))).collect();
    let (mut out, mut squares) = (Distance::default(), [0.0; 3]);
    for row in words.chunks_exact(TOLD) {
        out.o = out.o.max(row[0]);
        out.lse = out.lse.max(row[1]);
        squares.iter_mut().zip(&row[2..5]).for_each(|(sum, square)| *sum += square);
        out.elements += row[5];
    }
    let [error, yardstick, truth] = squares;
    if truth > 0.0 {
        (out.relative, out.yardstick) = ((error / truth).sqrt(), (yardstick / truth).sqrt());
    }
    out
}

/// `exact.cu`, behind what it uses.
fn text() -> String {
    format!("{}\n{}", include_str!("ptx/half.cuh"), include_str!("exact.cu"))
}

/// Where the items begin.
struct Starts {
    q: Vec<i32>,
    kv: Vec<i32>,
    lse: Vec<i32>,
    /// From a head's lse to the next one's.
    lse_stride: i32,
}

impl Starts {
    fn of(problem: &Problem) -> Starts {
        let ends = |rows: &dyn Fn(usize) -> std::ops::Range<usize>| {
            std::iter::once(0).chain((0..problem.batch).map(|b| rows(b).end as i32)).collect::<Vec<_>>()
        };
        let (q, kv) = (ends(&|b| problem.q_rows(b)), ends(&|b| problem.kv_rows(b)));
        match problem.ragged {
            Some(_) => Starts { lse: q[..problem.batch].to_vec(), lse_stride: q[problem.batch], q, kv },
            None => {
                let item = (problem.heads * problem.n_q) as i32;
                Starts {
                    lse: (0..problem.batch as i32).map(|b| b * item).collect(),
                    lse_stride: problem.n_q as i32,
                    q,
                    kv,
                }
            }
        }
    }
}

fn bytes_of(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The struct of parameters, written in the order of its fields.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u64(&mut self, address: u64) {
        self.0.extend(address.to_le_bytes());
    }

    /// Everything behind the addresses.
    fn scalars(&mut self, drawn: &Drawn, starts: &Starts) {
        let Drawn { problem, rules, .. } = drawn;
        self.0.extend(f64::from(problem.scale).to_le_bytes());
        let coefficient = |at: usize| drawn.coefficients.get(at).copied().unwrap_or(0.0);
        let floats = [0, 1, 2, 3].map(coefficient).into_iter().chain([rules.slope.unwrap_or(0.0)]);
        self.0.extend(floats.flat_map(f32::to_le_bytes));
        let (shift, reach) = rules.band.unwrap_or_default();
        let numbers = [
            i32::from(rules.slope.is_some()),
            i32::from(rules.band.is_some()),
            shift,
            reach,
            i32::from(rules.is_striped),
            problem.heads as i32,
            problem.kv_heads as i32,
            problem.head_dim as i32,
            problem.blocks.q as i32,
            problem.blocks.kv as i32,
            problem.q_blocks() as i32,
            problem.kv_blocks() as i32,
            starts.q[problem.batch],
            drawn.features.len() as i32,
            starts.lse_stride,
            i32::from(drawn.qkv[0].dtype() == DType::Bf16),
        ];
        self.0.extend(bytes_of(&numbers));
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }
}
