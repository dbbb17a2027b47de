//! From syntax to something that runs: registers become rows, labels become places, spellings become functions.

mod flow;
pub(crate) mod inline;
mod kinds;
mod layout;
mod operands;
pub(crate) mod products;
mod rows;
mod runtime;
pub(crate) mod special;
pub(crate) mod variables;
pub(crate) mod widths;

use std::sync::Arc;

pub(crate) use layout::{Layout, MOST_SHARED_BYTES};
use products::Products;
use rows::Rows;
use special::Special;

use crate::isa::form::{Action, AwaitFn, Class, EffectFn, Flow, LaneFn};
use crate::isa::{self, Form};
use crate::machine::exchange::Exchange;
use crate::machine::lanes::{INVERTED, Lanes};
use crate::memory::global::Memory;
use crate::program::LoadError;
use crate::race::MOST_INSTRUCTIONS;
use crate::syntax::{self, Function, Module, RegisterClass};
use crate::trap::{Frame, Place};

/// Most rows that an instruction names.
pub(crate) const MOST_ROWS: usize = 16;
/// Most places in memory that an instruction names.
pub(crate) const MOST_ADDRESSES: usize = 3;

/// One instruction, ready to run.
#[derive(Clone)]
pub(crate) struct Instruction {
    /// What it does.
    pub(crate) run: Run,
    /// The predicate that lets a lane execute, or [`ALWAYS`].
    pub(crate) guard: u16,
    /// What must be looked at before it: [`MEETS`] and [`TOUCHES`].
    pub(crate) marks: u8,
    /// The rows that it names, in written order; lists are laid out flat, addresses are in `addresses`.
    pub(crate) rows: [u16; MOST_ROWS],
    /// A bit for each of `rows` that is a row of wides.
    pub(crate) wides: u16,
    /// How many of `rows` it names.
    pub(crate) row_count: u8,
    /// Registers that a `wgmma` adds to.
    pub(crate) accumulators: u16,
    /// Its place in [`Products::uses`], or in [`Products::touched`] if it is marked so.
    pub(crate) set: u16,
    /// What the form noted about its modifiers.
    pub(crate) note: u32,
    /// Where a branch goes.
    pub(crate) target: u32,
    /// Where the two ways of a branch meet again, or [`NOWHERE`].
    pub(crate) meeting: u32,
    /// The value of its [`crate::isa::form::Operand::Number`]; of a load, the bytes that are used, or 0 for all.
    pub(crate) number: i64,
    /// The places in memory that it names.
    pub(crate) addresses: [Address; MOST_ADDRESSES],
    /// Its row of the table.
    pub(crate) form: &'static Form,
}

/// Branches may meet here.
pub(crate) const MEETS: u8 = 1;
/// It names registers that a `wgmma` works on.
pub(crate) const TOUCHES: u8 = 2;

/// The guard of an instruction that every lane executes.
pub(crate) const ALWAYS: u16 = 0x7FFF;
/// The meeting point of branches that meet only at the end.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// An address operand: a register and an offset.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Address {
    /// The row of the register.
    pub(crate) row: u16,
    /// Whether it is a row of wides.
    pub(crate) wide: bool,
    /// Bytes added to it.
    pub(crate) offset: i32,
}

/// [`Action`], chosen for this instruction and this host.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Lanes(LaneFn),
    Effect(EffectFn),
    Aligned(EffectFn),
    Await(AwaitFn),
    Exchange(fn(&mut Exchange)),
    Flow(Flow),
}

impl Run {
    /// Whether it arrives at a barrier and goes on.
    pub(crate) fn arrives_only(self) -> bool {
        matches!(self, Run::Flow(Flow::BarrierArrive))
    }
}

/// A kernel, ready to run.
pub(crate) struct Code {
    pub(crate) instructions: Vec<Instruction>,
    /// What the registers of a warp hold at first, special registers aside.
    pub(crate) registers: Lanes,
    /// Rows that a warp fills with a special register when it starts.
    pub(crate) specials: Vec<(Special, Class, u16)>,
    pub(crate) layout: Layout,
    /// For each instruction, the place of its block in an order that follows the flow.
    pub(crate) order: Vec<u32>,
    /// Whether CTAs of a launch can say nothing to each other, so that they may run in any order or at once.
    pub(crate) independent: bool,
    /// 32-bit rows that registers and immediates take, those of 64 bits counted twice.
    pub(crate) register_rows: u32,
    /// The registers that `wgmma` works on.
    pub(crate) products: Products,
    /// The variables of global memory that the text declares.
    pub(crate) variables: Arc<Memory>,
    module: Arc<Module>,
    function: usize,
}

/// Why an instruction does not decode.
struct Refusal(String);

impl Code {
    /// Decodes a kernel of a module.
    ///
    /// # Errors
    /// The first instruction that has no form, with its position.
    pub(crate) fn new(module: &Arc<Module>, variables: &Arc<Memory>, function: usize) -> Result<Code, LoadError> {
        let source = &module.functions[function];
        let at = |position: syntax::Position, what: String| LoadError::unsupported(&source.name, position, what);
        let layout = Layout::new(module, variables, source).map_err(|(position, what)| at(position, what))?;
        if source.body.len() >= MOST_INSTRUCTIONS {
            return Err(at(
                source.position,
                format!("{} instructions; at most {MOST_INSTRUCTIONS} run", source.body.len()),
            ));
        }
        let classes: Vec<Class> = source.registers.iter().map(|register| class_of(register.class)).collect();
        let mut rows = Rows::new();
        let mut decoder =
            operands::Decoder { layout: &layout, registers: &source.registers, classes: &classes, rows: &mut rows };
        let mut drafts = Vec::with_capacity(source.body.len());
        let mut steps = Vec::with_capacity(source.body.len());
        for (index, instruction) in source.body.iter().enumerate() {
            let refuse = |Refusal(why)| at(instruction.position, format!("{}: {why}", source.print(index)));
            if instruction.opcode == "call" {
                return Err(refuse(Refusal(inline::why_not(module, instruction))));
            }
            expect_target(&module.target, instruction).map_err(refuse)?;
            let draft = decoder.draft(instruction).map_err(refuse)?;
            steps.push(step(source, instruction, &draft));
            drafts.push(draft);
        }
        let flow = flow::Flow::new(&steps);
        let lent: Vec<_> = drafts.iter().map(operands::Draft::lent).collect();
        let mut intervals = flow::intervals(&steps, &flow, classes.len());
        // They are written after the last instruction that names them: nothing else may live there.
        for id in lent.iter().flatten().flatten() {
            intervals[id.0 as usize] = Some((0, steps.len() - 1));
        }
        let row_of = rows.share(&classes, &intervals);
        if rows.most() >= usize::from(ALWAYS) {
            return Err(at(
                source.position,
                format!("{} registers are alive at once; at most {ALWAYS} fit", rows.most()),
            ));
        }
        let mut instructions: Vec<Instruction> = drafts.into_iter().map(|draft| draft.finish(&row_of)).collect();
        let mut order = vec![0; instructions.len()];
        for (number, block) in flow.blocks.iter().enumerate() {
            let meeting = flow.meeting[number].map_or(NOWHERE, |block| flow.blocks[block].first as u32);
            order[block.first..block.end].fill(flow.order[number] as u32);
            let last = &mut instructions[block.end - 1];
            if let flow::Next::Branch(to) = steps[block.end - 1].next {
                (last.target, last.meeting) = (to as u32, meeting);
            }
            if meeting != NOWHERE {
                instructions[meeting as usize].marks |= MEETS;
            }
        }
        let products = Products::new(&lent, &steps, &row_of, &mut instructions)
            .map_err(|what| at(source.position, what.to_owned()))?;
        let independent = !source.body.iter().any(speaks_to_other_ctas);
        let register_rows = (rows.words.len() + 2 * rows.wides.len()) as u32;
        let registers = Lanes::new(&rows.predicates, &rows.words, &rows.wides);
        let specials = rows.specials;
        Ok(Code {
            instructions,
            registers,
            specials,
            register_rows,
            products,
            layout,
            order,
            independent,
            variables: variables.clone(),
            module: module.clone(),
            function,
        })
    }

    /// Name of the kernel.
    pub(crate) fn name(&self) -> &str {
        &self.source().name
    }

    /// What the kernel says about launches, its parameters and its text.
    pub(crate) fn source(&self) -> &Function {
        &self.module.functions[self.function]
    }

    /// The architecture of the text.
    pub(crate) fn target(&self) -> &str {
        &self.module.target
    }

    /// Opcode and modifiers of an instruction, as the text has them.
    pub(crate) fn spelling(&self, pc: usize) -> String {
        let instruction = &self.source().body[pc];
        let words = instruction.modifiers.iter().map(String::as_str);
        std::iter::once(instruction.opcode.as_str()).chain(words).collect::<Vec<_>>().join(".")
    }

    /// The name of a register that has this row to itself.
    pub(crate) fn register_of(&self, row: u16) -> Option<String> {
        let id = self.products.register_of(row)?;
        Some(self.source().registers[id.0 as usize].name.clone())
    }

    /// Where an instruction stands.
    pub(crate) fn place(&self, pc: u32) -> Place {
        let source = self.source();
        let Some(instruction) = source.body.get(pc as usize) else {
            let end = "the end of the kernel".to_owned();
            return Place { ptx_line: source.position.line, instruction: end, frames: Vec::new() };
        };
        let mut frames = Vec::new();
        let mut location = instruction.source;
        while let Some(found) = location.and_then(|id| self.module.locations.get(id.0)) {
            let file = self.module.files.iter().find(|file| file.index == found.file);
            frames.push(Frame {
                file: file.map_or_else(|| format!("file {}", found.file), |file| file.path.clone()),
                line: found.line,
                column: found.column,
            });
            location = found.inlined_at;
        }
        Place { ptx_line: instruction.position.line, instruction: source.print(pc as usize).to_string(), frames }
    }
}

fn class_of(class: RegisterClass) -> Class {
    match class {
        RegisterClass::Pred => Class::Predicate,
        RegisterClass::B16 | RegisterClass::B32 => Class::Word,
        RegisterClass::B64 => Class::Wide,
    }
}

/// What the flow of control needs to know of an instruction.
fn step(source: &Function, instruction: &syntax::Instruction, draft: &operands::Draft) -> flow::Step {
    let next = match draft.run() {
        Run::Flow(Flow::Branch) => match instruction.operands.first() {
            Some(syntax::Operand::Label(id)) => flow::Next::Branch(source.labels[id.0 as usize]),
            _ => flow::Next::Follow,
        },
        Run::Flow(Flow::Exit | Flow::Trap) => flow::Next::End,
        _ => flow::Next::Follow,
    };
    let mut reads = draft.reads();
    reads.extend(instruction.guard.map(|guard| guard.register));
    flow::Step { reads, writes: draft.writes(), guarded: instruction.guard.is_some(), next }
}

/// Refuses what only the architecture itself has, and none of its successors, in a text for another one.
fn expect_target(target: &str, instruction: &syntax::Instruction) -> Result<(), Refusal> {
    if matches!(instruction.opcode.as_str(), "wgmma" | "setmaxnreg") && target != "sm_90a" {
        return Err(Refusal(format!("it exists for .target sm_90a only, and the text is for {target}")));
    }
    Ok(())
}

/// Whether an instruction can tell one CTA what another did: then the order of CTAs may change results.
fn speaks_to_other_ctas(instruction: &syntax::Instruction) -> bool {
    let has = |words: &[&str]| instruction.modifiers.iter().any(|word| words.contains(&word.as_str()));
    if has(&["shared", "shared::cta", "shared::cluster"]) && !has(&["reduce"]) {
        return false;
    }
    match instruction.opcode.as_str() {
        "atom" => true,
        // Without a result, and with an operation whose order does not matter.
        "red" => has(&["f32", "f64", "f16", "f16x2", "bf16", "bf16x2", "inc", "dec", "b64", "u64", "s64"]),
        // The order of sums of floats matters.
        "cp" => has(&["reduce"]),
        "ld" | "st" => has(&["volatile", "relaxed", "acquire", "release", "mmio"]),
        _ => false,
    }
}

/// The guard of an instruction as a row.
fn guard(guard: Option<syntax::Guard>, registers: &[u16]) -> u16 {
    match guard {
        None => ALWAYS,
        Some(guard) => registers[guard.register.0 as usize] | if guard.negated { INVERTED } else { 0 },
    }
}

/// The form of an instruction, what it does, and what it notes.
fn select(instruction: &syntax::Instruction) -> Result<Vec<(&'static Form, isa::form::Chosen<'_>)>, Refusal> {
    let found: Vec<_> = isa::forms(&instruction.opcode)
        .filter_map(|spelled| spelled.choose(&instruction.modifiers).map(|chosen| (spelled.form, chosen)))
        .collect();
    if found.is_empty() {
        return Err(Refusal("the emulator has no such instruction".to_owned()));
    }
    Ok(found)
}

/// [`Action`] for this host, after the form has looked at the modifiers.
fn run_of(action: Action, chosen: &isa::form::Chosen<'_>, instruction: &mut Instruction) -> Option<Run> {
    Some(match action {
        Action::Lanes(pair) => Run::Lanes(pair.of_host()),
        Action::Effect(pair) => Run::Effect(pair.of_host()),
        Action::Aligned(pair) => Run::Aligned(pair.of_host()),
        Action::Await(pair) => Run::Await(pair.of_host()),
        Action::Exchange(function) => Run::Exchange(function),
        Action::Flow(flow) => Run::Flow(flow),
        Action::Choose(choose) => {
            let action = choose(chosen, instruction)?;
            return run_of(action, chosen, instruction);
        }
    })
}
