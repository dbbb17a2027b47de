//! What the machine code of a kernel with roles must have, worked out from its plan, and what it has.

use sparsym::kernel::{Plan, RoomPlan, Schedule};

use crate::flow::{Flow, Loop};
use crate::listing::{Function, Instruction};

/// Rows of one product of a warpgroup.
const GROUP_ROWS: u32 = 64;
/// Columns that one product sums over.
const STEP: u32 = 16;
/// Threads of a warpgroup.
const GROUP: u32 = 128;
/// Instructions of a warp for a step of attention without mask and score at D 128 and 128 kv rows: 64 exponentials, the
/// multiplication and the sum of each, 32 conversions, 16 products, and what is around them. In bf16, which has no maximum;
/// in f16 the comparison of each logit comes on top.
const PLAIN_STEP: (usize, usize) = (340, 340 + 64);

/// A step of the loop in which most of the time goes.
#[derive(Debug)]
pub(crate) struct Step {
    /// Products of a warpgroup, each over 16 columns.
    products: usize,
    /// `wgmma.fence`s: one before each run of products.
    fences: usize,
    /// `wgmma.wait_group`s.
    waits: usize,
    /// Exponentials of a thread, at least: so that no way is taken for the usual one that does less.
    exponentials: usize,
    /// Instructions of a warp, at most.
    instructions: Option<usize>,
}

impl Step {
    /// None for kernels without roles.
    pub(crate) fn of(plan: &Plan) -> Option<Step> {
        match &plan.room {
            RoomPlan::Attention(room) if room.schedule == Schedule::Specialised => {
                let is_plain = !room.mask && !room.score && plan.head_dim == 128 && room.tile_kv == 128;
                let most = if plan.dtype == "bf16" { PLAIN_STEP.0 } else { PLAIN_STEP.1 };
                Some(Step { instructions: is_plain.then_some(most), ..Step::of_attention(plan.head_dim, room.tile_kv) })
            }
            RoomPlan::GemmQ(gemm) if gemm.schedule == Schedule::Specialised => Some(Step::of_gemm(gemm.tile_k)),
            RoomPlan::GemmO(gemm) if gemm.schedule == Schedule::Specialised => Some(Step::of_gemm(gemm.tile_k)),
            _ => None,
        }
    }

    /// Q Kᵀ along D and P V along the kv rows. S is awaited beside the products with V, then these.
    pub(crate) fn of_attention(head_dim: u32, tile_kv: u32) -> Step {
        Step {
            products: ((head_dim + tile_kv) / STEP) as usize,
            fences: 2,
            waits: 2,
            exponentials: (GROUP_ROWS * tile_kv / GROUP) as usize,
            instructions: None,
        }
    }

    /// One run of products along the depth of a stage, awaited with one run behind it.
    pub(crate) fn of_gemm(depth: u32) -> Step {
        Step { products: (depth / STEP) as usize, fences: 1, waits: 1, exponentials: 0, instructions: None }
    }
}

/// What one loop has, once around on the usual way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) instructions: usize,
    pub(crate) products: usize,
    fences: usize,
    waits: usize,
    exponentials: usize,
    /// Reads and writes of local memory, anywhere in the loop.
    local: usize,
}

/// Products of tensor cores, of a warpgroup or of a warp.
fn is_product(one: &Instruction) -> bool {
    one.is("HGMMA") || one.is("HMMA")
}

fn is_local(one: &Instruction) -> bool {
    one.is("LDL") || one.is("STL")
}

impl Counts {
    /// Of every loop of a function that has products and no smaller loop with products: of a warpgroup, if there are any.
    ///
    /// # Errors
    /// What in its branches is not understood.
    pub(crate) fn of(function: &Function) -> Result<Vec<Counts>, String> {
        let flow = Flow::of(function)?;
        let of_groups = function.code.iter().any(|one| one.is("HGMMA"));
        let product = move |one: &Instruction| if of_groups { one.is("HGMMA") } else { is_product(one) };
        let loops = flow.innermost_with(product);
        Ok(loops.iter().map(|hot| Counts::of_loop(&flow, hot, product)).collect())
    }

    fn of_loop(flow: &Flow<'_>, hot: &Loop, product: impl Fn(&Instruction) -> bool) -> Counts {
        let way = flow.usual_way(hot, &product);
        let count = |opcode: &str| way.iter().filter(|one| one.is(opcode)).count();
        Counts {
            instructions: way.len(),
            products: way.iter().filter(|one| product(one)).count(),
            fences: count("WARPGROUP.ARRIVE"),
            waits: count("WARPGROUP.DEPBAR"),
            exponentials: count("MUFU.EX2"),
            local: flow.body(hot).iter().filter(|one| is_local(one)).count(),
        }
    }

    /// Everything in which it is not the step that the plan asks for.
    fn unlike(&self, step: &Step) -> Vec<String> {
        let mut wrong = Vec::new();
        let exact = [
            ("HGMMA", self.products, step.products),
            ("WARPGROUP.ARRIVE", self.fences, step.fences),
            ("WARPGROUP.DEPBAR", self.waits, step.waits),
        ];
        wrong.extend(exact.into_iter().filter(|(_, is, must)| is != must).map(|(opcode, is, must)| {
            format!("{is} {opcode} in a step of the hot loop, and the plan asks for {must}")
        }));
        if self.exponentials < step.exponentials {
            wrong.push(format!(
                "{} exponentials on the usual way around the hot loop, and a step has {}: what is left out?",
                self.exponentials, step.exponentials
            ));
        }
        if let Some(most) = step.instructions.filter(|&most| self.instructions > most) {
            wrong.push(format!(
                "{} instructions of a warp in a step of the hot loop, and at most {most}",
                self.instructions
            ));
        }
        if self.local > 0 {
            wrong.push(format!("{} reads and writes of local memory in the hot loop", self.local));
        }
        wrong
    }
}

/// What is against a function with roles: its loops, and the registers that its roles share.
///
/// # Errors
/// What in its branches is not understood.
pub(crate) fn broken(
    function: &Function,
    loops: &[Counts],
    step: &Step,
    threads: u32,
    registers: u32,
) -> Result<Vec<String>, String> {
    let mut wrong: Vec<String> = loops.iter().flat_map(|counts| counts.unlike(step)).collect();
    if loops.is_empty() {
        wrong.push("no loop with products of a warpgroup".to_owned());
    }
    wrong.extend(registers_of_roles(function, threads, registers)?);
    Ok(wrong)
}

/// One warpgroup gives registers back, the others take them: together they may not have more than the CTA started with, and
/// none may name one that it has given back.
fn registers_of_roles(function: &Function, threads: u32, registers: u32) -> Result<Vec<String>, String> {
    let flow = Flow::of(function)?;
    let mut wrong = Vec::new();
    let (mut given, mut taken) = (None, None);
    for (at, one) in function.code.iter().enumerate().filter(|(_, one)| one.is("USETMAXREG")) {
        let count = one.operands.rsplit(',').next().and_then(|last| last.trim().strip_prefix("0x"));
        let count = count.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let count = count.ok_or_else(|| format!("the count of {} {} is not known", one.opcode, one.operands))?;
        let role = if one.opcode.contains("DEALLOC") { &mut given } else { &mut taken };
        *role = Some(role.map_or(count, |most: u32| most.max(count)));
        let most = flow.reached_from(at).iter().flat_map(|one| one.registers()).max().unwrap_or(0);
        if most >= count {
            wrong.push(format!("R{most} is used by a role that has {count} registers"));
        }
    }
    match (given, taken) {
        (Some(given), Some(taken)) => {
            let (pool, asked) = (threads * registers, GROUP * given + (threads - GROUP) * taken);
            if asked > pool {
                wrong.push(format!("the roles ask for {asked} registers, and the CTA has {pool}"));
            }
        }
        _ => wrong.push("no warpgroup gives registers back, or none takes them".to_owned()),
    }
    Ok(wrong)
}
