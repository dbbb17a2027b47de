//! The kernels of the corpus: those that its cases would launch, and the zoo over head dimensions, types and options.

use std::collections::BTreeSet;
use std::sync::Arc;

use sparsym::ir::problem::DType;
use sparsym::ir::strategy::{Blocks, Strategy};
use sparsym::kernel::{
    AttentionRequest, CachedRows, FromHeads, Kernel, Means, Product, Request, Room, RoomRequest, Scale, Sequences,
    SymbolsRequest, Target, TileOrder, ToHeads, generate,
};

use crate::case::{self, Case};
use crate::projection;

/// Targets that every kernel compiles for.
pub const TARGETS: [&str; 4] = ["sm_80", "sm_89", "sm_90a", "sm_120"];

/// A request without its target.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The rules.
    pub strategy: Arc<Strategy>,
    /// Which kernel.
    pub room: Room,
    /// bf16 or f16.
    pub dtype: DType,
    /// D.
    pub head_dim: usize,
    /// Tokens of a query and of a kv block.
    pub blocks: Blocks,
    /// One length or index pointers.
    pub sequences: Sequences,
    /// What happens to rows whose S_c is 0.
    pub cached_rows: CachedRows,
    /// Which factors on Q·K it bears.
    pub scale: Scale,
    /// Which tile a CTA of attention works on.
    pub order: TileOrder,
    /// What a projection has, if it is not the product alone.
    pub projection: Option<RoomRequest<'static>>,
}

impl Wanted {
    /// bf16, D = 128, one length for all items, cached rows left to the caller; a projection without additions.
    pub fn plain(strategy: &Arc<Strategy>, room: Room) -> Wanted {
        Wanted {
            strategy: strategy.clone(),
            room,
            dtype: DType::Bf16,
            head_dim: 128,
            blocks: strategy.blocks,
            sequences: Sequences::Uniform,
            cached_rows: CachedRows::LeftToCaller,
            scale: Scale::Positive,
            order: TileOrder::Grid,
            projection: None,
        }
    }

    /// Generates the text. None if the target has no such kernel, which the code generator says with a finding.
    pub fn generate(&self, target: Target) -> Option<Kernel> {
        generate(&self.request(target)).ok()
    }

    /// The text of another [fit](Request::fit); None if there is none.
    pub fn fitting(&self, target: Target, fit: usize) -> Option<Kernel> {
        generate(&Request { fit, ..self.request(target) }).ok()
    }

    /// The request for a target.
    pub fn request(&self, target: Target) -> Request<'_> {
        let &Wanted { ref strategy, blocks, sequences, cached_rows, scale, order, dtype, head_dim, .. } = self;
        let room = match (&self.projection, self.room) {
            (Some(projection), _) => projection.clone(),
            (None, Room::Attention) => {
                RoomRequest::Attention(AttentionRequest { strategy, blocks, sequences, cached_rows, scale, order })
            }
            (None, Room::Symbols) => {
                RoomRequest::Symbols(SymbolsRequest { strategy, blocks, sequences, means: Means::Computed })
            }
            (None, Room::GemmQ) => RoomRequest::GemmQ(ToHeads::default()),
            (None, Room::GemmO) => RoomRequest::GemmO(FromHeads::Product(Product::default())),
        };
        Request { dtype, head_dim, ..Request::of(room, target) }
    }
}

/// A generated kernel and who asked for it first.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Name of the strategy.
    pub strategy: String,
    /// What was asked for.
    pub wanted: Wanted,
    /// The kernel.
    pub kernel: Kernel,
}

/// Every kernel of the corpus for a target; texts that are equal are listed once.
pub fn generated(target: Target) -> Vec<Generated> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for wanted in wanted_by_zoo().into_iter().chain(wanted_by_cases()).chain(wanted_by_projections()) {
        let Some(kernel) = wanted.generate(target) else { continue };
        if seen.insert(kernel.source.clone()) {
            out.push(Generated { strategy: wanted.strategy.snake_name(), wanted, kernel });
        }
    }
    out
}

/// Of [`generated`] those that are worth compiling: for sm_89, whose instructions and registers are sm_80's, only texts
/// that sm_80 does not have, because less shared memory asks for other tiles.
///
/// # Panics
/// If most texts differ: then `without_target` has missed a place that names the target.
pub fn to_compile(target: Target) -> Vec<Generated> {
    let mut kernels = generated(target);
    if let ("sm_89", Ok(elder)) = (target.name(), Target::parse("sm_80")) {
        let known: BTreeSet<String> = generated(elder).iter().map(|known| without_target(&known.kernel)).collect();
        kernels.retain(|generated| !known.contains(&without_target(&generated.kernel)));
        assert!(kernels.len() < known.len() / 2, "{} texts of sm_89 are not sm_80's", kernels.len());
    }
    kernels
}

/// A text without the line of its header that names the target, and without the hash in its name, which knows the target.
fn without_target(kernel: &Kernel) -> String {
    let hash = kernel.name.rsplit('_').next().unwrap_or_default();
    let lines = kernel.source.lines().filter(|line| !line.starts_with("// target"));
    lines.collect::<Vec<_>>().join("\n").replace(hash, "")
}

/// Each strategy of the zoo: both rooms, and of the first with a kind of attention kernel (mask, score, what the mask reads,
/// how long it is) every head dimension with and without the options, each from a list of tiles too, blocks of 64, and once
/// f16.
pub fn wanted_by_zoo() -> Vec<Wanted> {
    let mut out = Vec::new();
    let mut kinds = BTreeSet::new();
    for entry in sparsym::zoo::all() {
        let strategy = Arc::new(entry.strategy.clone());
        let plain = Wanted::plain(&strategy, Room::Attention);
        for head_dim in [64, 96, 128, 256] {
            let bare = Wanted { head_dim, ..plain.clone() };
            if head_dim == 64 && !kinds.insert(kind(&strategy)) {
                out.extend([bare, plain.clone()]);
                break;
            }
            let sequences = match strategy.tokens.is_empty() {
                true => Sequences::Ragged,
                false => Sequences::Uniform, // a ragged batch has no named ranges
            };
            let full = Wanted { sequences, cached_rows: CachedRows::Forecast, ..bare.clone() };
            let f16 = Wanted { dtype: DType::F16, ..bare.clone() };
            let blocks_of_64 = Wanted { blocks: Blocks { q: 64, kv: 64 }, ..bare.clone() };
            let listed = [&bare, &full].map(|of| Wanted { order: TileOrder::HeaviestFirst, ..of.clone() });
            out.extend(listed.into_iter().chain([bare, full, blocks_of_64]));
            // The types differ in conversions and in bf16's reserve; the corpus runs f16 at other head dimensions.
            out.extend((head_dim == 128).then_some(f16));
        }
        out.push(Wanted::plain(&strategy, Room::Symbols));
    }
    out
}

/// What the choice of a tile looks at, roughly.
fn kind(strategy: &Strategy) -> [usize; 4] {
    let mut operands = 0;
    strategy.mask.iter().for_each(|mask| mask.value.walk(&mut |_| operands += 1));
    let mask = strategy.mask.is_some();
    let looks_up = mask && !(strategy.tables.is_empty() && strategy.inputs.is_empty());
    [usize::from(mask), usize::from(strategy.score.is_some()), usize::from(looks_up), operands / 64]
}

/// What the cases of the corpus would launch for their bf16 run.
fn wanted_by_cases() -> Vec<Wanted> {
    let mut out = Vec::new();
    for case in case::all() {
        for room in [Room::Attention, Room::Symbols] {
            out.extend(wanted_by_case(&case, room)); // the conformance test reports what is wrong with a case
        }
    }
    out
}

/// What a case would launch in a room for its bf16 run.
///
/// # Errors
/// What is wrong with its strategy.
pub fn wanted_by_case(case: &Case, room: Room) -> Result<Wanted, String> {
    let strategy = Arc::new(case.strategy()?);
    let problem = case.problem(&strategy);
    Ok(Wanted {
        head_dim: case.head_dim,
        blocks: problem.blocks,
        sequences: if problem.ragged.is_some() { Sequences::Ragged } else { Sequences::Uniform },
        cached_rows: if case.forecast.is_some() { CachedRows::Forecast } else { CachedRows::LeftToCaller },
        scale: Scale::of(problem.scale, DType::Bf16),
        ..Wanted::plain(&strategy, room)
    })
}

fn wanted_by_projections() -> Vec<Wanted> {
    projection::all().iter().map(wanted_by_projection).collect()
}

/// What a projection would launch for its bf16 run, or in another half type if it has no such run.
pub fn wanted_by_projection(case: &projection::Case) -> Wanted {
    let (room, block) = (case.room(), case.block as u32);
    Wanted {
        dtype: if case.dtypes.contains(&DType::Bf16) { DType::Bf16 } else { DType::F16 },
        head_dim: case.head_dim,
        blocks: Blocks { q: block, kv: block },
        projection: Some(room.clone()),
        ..Wanted::plain(&Arc::new(Strategy::dense()), room.room())
    }
}
