//! Asynchronous matrix products of warpgroups: `wgmma`.
//!
//! Four warps issue the same products, each for its own sixteen rows, and each waits for itself. A product is an act of the
//! warpgroup all the same: the first warp that has waited for it may let others overwrite its operands, so shared memory is
//! read for all four at once, at that wait, which no warp passes before all have issued. Results come late as well: until
//! the wait of its own warp a register of the product belongs to nobody.

mod operands;
mod shape;

use std::collections::VecDeque;

use super::context::Effect;
use super::registers::WARPGROUP;
use crate::decode::products::Products;
use crate::decode::{Code, Instruction};
use crate::isa::form::Ready;
use crate::launch::Copies;
use crate::memory::Access;
use crate::race::{self, ALL_LANES, Agent, Obstacle};
use crate::trap::Fault;
use operands::Operands;
pub(crate) use shape::{Shape, WARP_ROWS};

/// Most entries of a log: far more than any kernel has under way before it waits.
const MOST_ENTRIES: usize = 1 << 12;

/// What the four warps of a warpgroup issue, in order.
#[derive(Debug, Default)]
pub(crate) struct Warpgroup {
    /// Number of the first entry of the log.
    first: u64,
    log: VecDeque<Entry>,
    /// The entry that each warp issues next.
    next: [u64; WARPGROUP],
    /// Products are complete that warps may have waited for.
    pub(crate) wakes: bool,
    /// Buffers of products that are over.
    spare: Vec<Operands>,
}

/// Something that a warpgroup issues.
#[derive(Debug)]
struct Entry {
    pc: u32,
    act: Act,
    /// A bit for each warp that it still concerns.
    left: u8,
}

#[derive(Debug)]
enum Act {
    Product(Product),
    Commit,
}

/// A product under way.
#[derive(Debug)]
struct Product {
    /// Descriptor of A, unless it stands in registers.
    a: u64,
    b: u64,
    /// Whether it adds to what the registers hold.
    adds: bool,
    operands: Operands,
    /// Whether `operands` holds values yet.
    is_read: bool,
}

/// Products of one warp that it has not waited for.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    sets: Vec<SetState>,
    /// Whether it has executed a `wgmma.fence`.
    fenced: bool,
    /// Groups that it has closed.
    closed: u32,
    /// Oldest first.
    pending: VecDeque<Pending>,
}

/// A product that a warp has issued.
#[derive(Clone, Copy, Debug)]
struct Pending {
    entry: u64,
    /// Counted from 1.
    group: u32,
    pc: u32,
}

/// What a warp did with the registers of a set.
#[derive(Clone, Copy, Debug, Default)]
struct SetState {
    /// Its threads read or wrote one of them since the last fence.
    accessed: bool,
    /// Products under way that name it.
    flying: u32,
    /// The last one.
    pc: u32,
}

impl Flight {
    /// Nothing under way.
    pub(crate) fn new(products: &Products) -> Flight {
        Flight { sets: vec![SetState::default(); products.sets.len()], ..Flight::default() }
    }

    /// The last product that the warp has not waited for, and whether it is in a group.
    pub(crate) fn unwaited(&self) -> Option<(u32, bool)> {
        self.pending.back().map(|product| (product.pc, product.group <= self.closed))
    }
}

impl Warpgroup {
    /// The warps that have not issued what this warp issued, and the first such instruction.
    pub(crate) fn behind(&self, warp: u32) -> Option<(Vec<u32>, u32)> {
        let at = warp as usize % WARPGROUP;
        let least = *self.next.iter().min()?;
        let entry = self.log.get(least.checked_sub(self.first)? as usize)?;
        let behind = (0..WARPGROUP).filter(|other| self.next[*other] < self.next[at]);
        Some((behind.map(|other| (warp as usize - at + other) as u32).collect(), entry.pc))
    }

    /// What a warp never issued though others of its warpgroup did: the warp, and the instruction.
    pub(crate) fn left_alone(&self) -> Option<(usize, u32)> {
        let least = *self.next.iter().min()?;
        let entry = self.log.get(least.checked_sub(self.first)? as usize)?;
        Some((self.next.iter().position(|next| *next == least)?, entry.pc))
    }

    fn entry(&mut self, number: u64) -> &mut Entry {
        let at = (number - self.first) as usize;
        &mut self.log[at]
    }

    /// The entry no longer concerns a warp.
    fn leave(&mut self, number: u64, warp: usize) {
        self.entry(number).left &= !(1 << warp);
        while self.log.front().is_some_and(|entry| entry.left == 0) {
            self.first += 1;
            if let Some(Entry { act: Act::Product(product), .. }) = self.log.pop_front() {
                self.spare.push(product.operands);
            }
        }
    }
}

impl Effect<'_> {
    /// The threads of the warp name registers of products: nothing may be under way there.
    pub(crate) fn touch(&mut self, ins: &Instruction) -> Result<(), Box<Fault>> {
        let products = &self.launch.code.products;
        for &(set, register) in &products.touched[usize::from(ins.set)] {
            let state = &mut self.warp.flight.sets[usize::from(set)];
            state.accessed = true;
            if state.flying > 0 {
                let pc = state.pc;
                let committed =
                    self.warp.flight.pending.iter().any(|p| p.pc == pc && p.group <= self.warp.flight.closed);
                let register = self.launch.code.source().registers[register.0 as usize].name.clone();
                let issued = self.launch.code.place(pc);
                return Err(Box::new(Fault::RegisterInFlight { register, issued, committed }));
            }
        }
        Ok(())
    }

    /// Orders what the threads of the warp did with registers before products.
    pub(crate) fn fence_registers(&mut self) {
        self.warp.flight.fenced = true;
        self.warp.flight.sets.iter_mut().for_each(|set| set.accessed = false);
    }

    /// Issues a product.
    #[inline(always)]
    pub(crate) fn issue_product(&mut self, ins: &Instruction) -> Result<(), Box<Fault>> {
        let shape = Shape::of(ins.note);
        let (group, own) = self.place_in_warpgroup()?;
        let first = if shape.in_registers { 4 } else { 0 };
        let a = if shape.in_registers { 0 } else { self.same_in_all_lanes(ins, 0, "A")? };
        let b = self.same_in_all_lanes(ins, usize::from(!shape.in_registers) + first, "B")?;
        let adds = match self.lanes.predicate(ins.rows[usize::from(ins.row_count) - 1]) {
            0 => false,
            u32::MAX => true,
            _ => {
                return Err(apart(
                    "lanes of one warp differ in the predicate that says whether D is added to".to_owned(),
                ));
            }
        };
        self.lend_registers(ins)?;
        let number = self.warpgroups[group].next[own];
        match self.warpgroups[group].log.get((number - self.warpgroups[group].first) as usize) {
            Some(Entry { act: Act::Product(product), pc, .. })
                if (*pc, product.a, product.b, product.adds) == (self.pc, a, b, adds) => {}
            Some(entry) => return Err(self.disagrees(entry, Some((a, b, adds)))),
            None => {
                self.expect_room(group)?;
                let mut operands = self.warpgroups[group].spare.pop().unwrap_or_default();
                self.find_lines(ins, a, b, &mut operands)?;
                let product = Product { a, b, adds, operands, is_read: false };
                let entry = Entry { pc: self.pc, act: Act::Product(product), left: 0b1111 };
                self.warpgroups[group].log.push_back(entry);
            }
        }
        let flight = &mut self.warp.flight;
        flight.pending.push_back(Pending { entry: number, group: flight.closed + 1, pc: self.pc });
        self.warpgroups[group].next[own] += 1;
        if self.warpgroups[group].next.iter().all(|next| *next > number) {
            self.complete_issue(ins, group, number)?;
        }
        Ok(())
    }

    /// Closes the group of products that the warp issued since the last one.
    pub(crate) fn commit_products(&mut self) -> Result<(), Box<Fault>> {
        let (group, own) = self.place_in_warpgroup()?;
        self.expect_room(group)?;
        let warpgroup = &mut self.warpgroups[group];
        let number = warpgroup.next[own];
        match warpgroup.log.get((number - warpgroup.first) as usize) {
            None => warpgroup.log.push_back(Entry { pc: self.pc, act: Act::Commit, left: 0b1111 }),
            Some(entry) if matches!(entry.act, Act::Commit) => {}
            Some(_) => {
                let entry = &self.warpgroups[group].log[(number - self.warpgroups[group].first) as usize];
                return Err(self.disagrees(entry, None));
            }
        }
        warpgroup.next[own] += 1;
        warpgroup.leave(number, own);
        self.warp.flight.closed += 1;
        Ok(())
    }

    /// Waits for all groups of the warp but the newest `but`.
    #[inline(always)]
    pub(crate) fn wait_for_products(&mut self, but: u32) -> Result<Ready, Box<Fault>> {
        let limit = self.warp.flight.closed.saturating_sub(but);
        let due = self.warp.flight.pending.iter().take_while(|product| product.group <= limit).count();
        if due == 0 {
            return Ok(Ready::Now);
        }
        let (group, own) = self.place_in_warpgroup()?;
        let last = self.warp.flight.pending[due - 1].entry;
        if self.warpgroups[group].next.iter().any(|next| *next <= last) {
            return Ok(Ready::Later);
        }
        for _ in 0..due {
            let Some(pending) = self.warp.flight.pending.pop_front() else { break };
            self.finish_product(pending, group, own)?;
        }
        if let Some(races) = &mut self.shared.races {
            races.clocks().retire_matrix(self.warp.agent as usize, limit);
        }
        Ok(Ready::Now)
    }

    fn expect_room(&self, group: usize) -> Result<(), Box<Fault>> {
        if self.warpgroups[group].log.len() < MOST_ENTRIES {
            return Ok(());
        }
        Err(Box::new(Fault::Unsupported { what: "thousands of wgmma of a warpgroup that nobody waits for" }))
    }

    /// The warpgroup of the warp, and its place there.
    fn place_in_warpgroup(&self) -> Result<(usize, usize), Box<Fault>> {
        let warp = self.warp.index as usize;
        if warp / WARPGROUP >= self.warpgroups.len() {
            return Err(apart(format!("warp {warp} is in no whole warpgroup: four warps of the CTA in a row")));
        }
        Ok((warp / WARPGROUP, warp % WARPGROUP))
    }

    /// The descriptor that all lanes name.
    #[inline(always)]
    fn same_in_all_lanes(&self, ins: &Instruction, at: usize, operand: &str) -> Result<u64, Box<Fault>> {
        let row = self.lanes.wides(ins.rows[at]);
        if row.iter().any(|value| *value != row[0]) {
            return Err(apart(format!("lanes of one warp name different descriptors of {operand}")));
        }
        Ok(row[0])
    }

    /// Takes the registers of a product from the threads.
    #[inline(always)]
    fn lend_registers(&mut self, ins: &Instruction) -> Result<(), Box<Fault>> {
        let code = self.launch.code;
        let named = &code.products.uses[usize::from(ins.set)];
        let flight = &mut self.warp.flight;
        if !flight.fenced {
            return Err(Box::new(Fault::UnfencedProduct { register: None }));
        }
        for set in [Some(named.sums), named.operand].into_iter().flatten() {
            let own = &code.products.sets[usize::from(set)];
            let state = flight.sets[usize::from(set)];
            if state.accessed {
                let register = code.register_of(own.rows[0]);
                return Err(Box::new(Fault::UnfencedProduct { register }));
            }
            // Products of one shape add to the same registers in their order; what others do there is not ordered.
            let shape = |pc: u32| Shape::of(code.instructions[pc as usize].note);
            let ordered = |pc: u32| {
                let (one, other) = (shape(pc), Shape::of(ins.note));
                (one.columns, one.depth(), one.sum) == (other.columns, other.depth(), other.sum)
            };
            let clash = if own.sums && state.flying > 0 && !ordered(state.pc) {
                Some(state.pc)
            } else {
                let flying = own.overlaps.iter().map(|other| (*other, flight.sets[usize::from(*other)]));
                flying
                    .filter(|(other, state)| {
                        state.flying > 0 && (own.sums || code.products.sets[usize::from(*other)].sums)
                    })
                    .map(|(_, state)| state.pc)
                    .next()
            };
            if let Some(pc) = clash {
                let committed = flight.pending.iter().any(|p| p.pc == pc && p.group <= flight.closed);
                let register = code.register_of(own.rows[0]).unwrap_or_default();
                return Err(Box::new(Fault::RegisterInFlight { register, issued: code.place(pc), committed }));
            }
        }
        for set in [Some(named.sums), named.operand].into_iter().flatten() {
            let state = &mut flight.sets[usize::from(set)];
            (state.flying, state.pc) = (state.flying + 1, self.pc);
        }
        Ok(())
    }

    /// All four warps have issued a product: from now on its operands must stay as they are.
    fn complete_issue(&mut self, ins: &Instruction, group: usize, number: u64) -> Result<(), Box<Fault>> {
        self.warpgroups[group].wakes = true;
        let Act::Product(product) = &mut self.warpgroups[group].entry(number).act else { return Ok(()) };
        let mut operands = std::mem::take(&mut product.operands);
        let earliest = self.launch.copies == Copies::Earliest;
        product.is_read = earliest;
        if let Some(races) = &mut self.shared.races {
            let agent = self.warp.agent / WARPGROUP as u32;
            let issuers = race::warpgroup(agent, self.pc);
            let lines = operands.lines.iter().map(|offset| *offset as usize);
            let issue = self.warp.flight.closed + 1;
            match races.async_read(Agent::Matrix(agent), &issuers, lines, issue) {
                Ok(()) => {}
                Err(Obstacle::Conflict(conflict)) => return Err(self.race(Access::Operand, ALL_LANES, conflict)),
                Err(Obstacle::TooManyAgents) => {
                    return Err(Box::new(Fault::Unsupported { what: "more than a thousand mbarriers of a CTA" }));
                }
            }
        }
        if self.watches() {
            self.check_lines(&operands.lines)?;
            self.count_operands(ins, &operands);
        }
        if earliest {
            self.read_operands(ins, &mut operands);
        }
        if let Act::Product(product) = &mut self.warpgroups[group].entry(number).act {
            product.operands = operands;
        }
        Ok(())
    }

    /// Carries out the rows of a product that belong to the warp.
    #[inline(always)]
    fn finish_product(&mut self, pending: Pending, group: usize, own: usize) -> Result<(), Box<Fault>> {
        let code = self.launch.code;
        let ins = &code.instructions[pending.pc as usize];
        let Act::Product(product) = &mut self.warpgroups[group].entry(pending.entry).act else { return Ok(()) };
        let (mut operands, is_read, adds) = (std::mem::take(&mut product.operands), product.is_read, product.adds);
        product.is_read = true;
        if !is_read {
            if self.watches() {
                self.check_lines(&operands.lines)?;
            }
            self.read_operands(ins, &mut operands);
        }
        self.multiply(ins, own, adds, &operands);
        let named = &code.products.uses[usize::from(ins.set)];
        for set in [Some(named.sums), named.operand].into_iter().flatten() {
            self.warp.flight.sets[usize::from(set)].flying -= 1;
        }
        if let Act::Product(product) = &mut self.warpgroups[group].entry(pending.entry).act {
            product.operands = operands;
        }
        self.warpgroups[group].leave(pending.entry, own);
        Ok(())
    }

    #[cold]
    fn disagrees(&self, entry: &Entry, issues: Option<(u64, u64, bool)>) -> Box<Fault> {
        let place = self.launch.code.place(entry.pc);
        let where_ =
            format!("where another warp of its warpgroup is at line {}: {}", place.ptx_line, place.instruction);
        let reason = match (&entry.act, issues) {
            (Act::Product(product), Some((a, b, adds))) if entry.pc == self.pc => {
                let what = if product.a != a {
                    format!("descriptor {a:#018x} of A, and another warp of its warpgroup {:#018x}", product.a)
                } else if product.b != b {
                    format!("descriptor {b:#018x} of B, and another warp of its warpgroup {:#018x}", product.b)
                } else {
                    format!(
                        "{} to D, and another warp of its warpgroup does not",
                        if adds { "an addition" } else { "no addition" }
                    )
                };
                format!("warp {} brings {what}", self.warp.index)
            }
            _ => format!("warp {} comes here {where_}", self.warp.index),
        };
        apart(reason)
    }
}

/// The warps of a warpgroup do not do the same.
fn apart(reason: String) -> Box<Fault> {
    Box::new(Fault::WarpgroupApart { reason })
}

/// What a warp waits for at a wait for its products, in words.
pub(crate) fn missing(warpgroups: &[Warpgroup], warp: u32, code: &Code) -> String {
    match warpgroups.get(warp as usize / WARPGROUP).and_then(|group| group.behind(warp)) {
        Some((warps, pc)) => {
            let warps: Vec<String> = warps.iter().map(u32::to_string).collect();
            let place = code.place(pc);
            format!("warps {} to issue {} (line {})", warps.join(", "), place.instruction, place.ptx_line)
        }
        None => "its products".to_owned(),
    }
}
