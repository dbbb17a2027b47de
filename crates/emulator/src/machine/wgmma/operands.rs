//! The operands of a `wgmma`: found in shared memory, read, and multiplied into the registers of a warp.

use super::shape::{ROWS, Shape, Turns, WARP_ROWS};
use crate::decode::Instruction;
use crate::machine::context::Effect;
use crate::machine::descriptor::{Descriptor, Major};
use crate::machine::lanes::WARP;
use crate::memory::nearest;
use crate::memory::shared::FIRST;
use crate::numeric::product::{self, DEPTH_WORDS, Eight, Element, MOST_DEPTH, Sum, Sums};
use crate::trap::Fault;

/// The shared operands of a product.
#[derive(Debug, Default)]
pub(super) struct Operands {
    /// Offsets of their lines, of A and then of B.
    pub(super) lines: Vec<u32>,
    /// How many of them are A's.
    lines_of_a: usize,
    /// Elements: eight rows, or columns, step of the depth after step, then the next eight.
    a: Vec<Eight>,
    b: Vec<Eight>,
}

impl Effect<'_> {
    /// Finds the lines of the operands in shared memory.
    #[inline(always)]
    pub(super) fn find_lines(&self, ins: &Instruction, a: u64, b: u64, to: &mut Operands) -> Result<(), Box<Fault>> {
        let shape = Shape::of(ins.note);
        let turns = Turns::of(ins, shape);
        to.lines.clear();
        if !shape.in_registers {
            self.find_lines_of("A", a, turns.a, ROWS, &mut to.lines)?;
        }
        to.lines_of_a = to.lines.len();
        self.find_lines_of("B", b, turns.b, shape.columns, &mut to.lines)
    }

    #[inline(always)]
    fn find_lines_of(
        &self,
        operand: &'static str,
        bits: u64,
        major: Major,
        rows: usize,
        lines: &mut Vec<u32>,
    ) -> Result<(), Box<Fault>> {
        let first = lines.len();
        let wrong = |reason: String| Box::new(Fault::Descriptor { operand, descriptor: bits, reason });
        let descriptor = Descriptor::parse(bits).map_err(wrong)?;
        descriptor.lines(major, rows, lines);
        let (least, most) =
            lines[first..].iter().fold((u32::MAX, 0), |(least, most), &at| (least.min(at), most.max(at)));
        // All of it in one variable, the one that the operand begins in.
        let begins = u64::from(lines[first]);
        let home = self.shared.variables().iter().find(|variable| variable.holds(begins, 16));
        let is_inside = |at: u32| home.is_some_and(|home| home.holds(u64::from(at), 16));
        if !is_inside(least) || !is_inside(most) {
            let at = lines[first..].iter().copied().find(|at| !is_inside(*at)).unwrap_or(least);
            let near = match home.cloned().or_else(|| nearest(self.shared.variables().iter(), u64::from(at))) {
                Some(near) if u64::from(at) >= near.base => {
                    format!(
                        "; {} has {} bytes, and this is its byte {}",
                        near.name,
                        near.bytes,
                        u64::from(at) - near.base
                    )
                }
                Some(near) => format!("; {} begins {} bytes further on", near.name, near.base - u64::from(at)),
                None => String::new(),
            };
            return Err(wrong(format!("{descriptor}: a line of 16 bytes at shared address {at:#x}{near}")));
        }
        let base = self.shared.base() as u32;
        lines[first..].iter_mut().for_each(|at| *at = *at - FIRST + base);
        Ok(())
    }

    /// Counts what the operands cost the banks of shared memory.
    pub(super) fn count_operands(&mut self, ins: &Instruction, operands: &Operands) {
        let shape = Shape::of(ins.note);
        let turns = Turns::of(ins, shape);
        let apart = |major: Major, rows: usize| if major == Major::Depth { 2 } else { rows / 8 };
        let (a, b) = operands.lines.split_at(operands.lines_of_a);
        self.counts.operand(self.pc, a, apart(turns.a, ROWS));
        self.counts.operand(self.pc, b, apart(turns.b, shape.columns));
    }

    #[inline(always)]
    pub(super) fn check_lines(&self, lines: &[u32]) -> Result<(), Box<Fault>> {
        if lines.iter().all(|offset| self.shared.line_is_written(*offset as usize)) {
            return Ok(());
        }
        lines.iter().try_for_each(|offset| self.check_shared_written(0, *offset as usize, 16))
    }

    /// Reads the shared operands of a product as they are now.
    #[inline(always)]
    pub(super) fn read_operands(&self, ins: &Instruction, operands: &mut Operands) {
        let shape = Shape::of(ins.note);
        let turns = Turns::of(ins, shape);
        let Operands { lines, lines_of_a, a, b } = operands;
        let (lines_a, lines_b) = lines.split_at(*lines_of_a);
        if !shape.in_registers {
            a.resize(ROWS / 8 * shape.depth(), [0; 8]);
            match turns.a {
                Major::Depth => self.read_along(shape.a, turns.negates_a, lines_a, a, |row| row),
                Major::Other => self.read_across(shape.a, turns.negates_a, lines_a, a, |row| row),
            }
        }
        // Of eight columns the even ones stand first: as the registers of a warp hold them.
        let place = |column: usize| column % 2 * 4 + column / 2;
        b.resize(shape.columns / 8 * shape.depth(), [0; 8]);
        match turns.b {
            Major::Depth => self.read_along(shape.b, turns.negates_b, lines_b, b, place),
            Major::Other => self.read_across(shape.b, turns.negates_b, lines_b, b, place),
        }
    }

    /// Elements of a matrix whose lines run along the depth, two for each row.
    #[inline(always)]
    fn read_along(
        &self,
        element: Element,
        negated: bool,
        lines: &[u32],
        out: &mut [Eight],
        place: impl Fn(usize) -> usize,
    ) {
        let depth = DEPTH_WORDS * element.per_word();
        let (blocks, _) = lines.as_chunks::<16>();
        for (block, out) in blocks.iter().zip(out.chunks_exact_mut(depth)) {
            let mut words = [[0; 8]; DEPTH_WORDS];
            for (at, offset) in block.iter().enumerate() {
                let line = self.shared.line(*offset as usize);
                for word in 0..4 {
                    words[at % 2 * 4 + word][place(at / 2)] = line[word];
                }
            }
            product::widen(element, negated, &words, out);
        }
    }

    /// Elements of a matrix whose lines hold eight rows at one step of the depth.
    #[inline(always)]
    fn read_across(
        &self,
        element: Element,
        negated: bool,
        lines: &[u32],
        out: &mut [Eight],
        place: impl Fn(usize) -> usize,
    ) {
        let blocks = out.len() / 16;
        for (step, lines) in lines.chunks_exact(blocks).enumerate() {
            for (block, offset) in lines.iter().enumerate() {
                let values = product::widen_line(element, negated, self.shared.line(*offset as usize));
                for (row, value) in values.into_iter().enumerate() {
                    out[16 * block + step][place(row)] = value;
                }
            }
        }
    }

    /// Adds sixteen rows of a product to the registers of the warp.
    #[inline(always)]
    pub(super) fn multiply(&mut self, ins: &Instruction, own: usize, adds: bool, operands: &Operands) {
        let shape = Shape::of(ins.note);
        let products = &self.launch.code.products;
        let registers = products.sets[usize::from(products.uses[usize::from(ins.set)].sums)].rows.as_slice();
        let depth = shape.depth();
        let mut a = [[[0; 8]; 4]; MOST_DEPTH];
        let a = &mut a[..depth];
        for half in 0..2 {
            if shape.in_registers {
                self.rows_of_registers(ins, shape, half, a);
            } else {
                let block = WARP_ROWS / 8 * own + half;
                for (to, from) in a.iter_mut().zip(&operands.a[depth * block..]) {
                    *to = std::array::from_fn(|at| std::array::from_fn(|lane| from[2 * at + lane / 4]));
                }
            }
            for (group, b) in operands.b.chunks_exact(depth).enumerate() {
                let first = 2 * (2 * group + half);
                match shape.sum {
                    Sum::Single => {
                        let rows = [registers[first], registers[first + 1]];
                        let mut sums: Sums = if adds {
                            rows.map(|row| product::vectors(self.lanes.words(row)))
                        } else {
                            Default::default()
                        };
                        product::accumulate_floats(&mut sums, a, b);
                        for (row, sums) in rows.iter().zip(&sums) {
                            self.lanes.set_words(*row, &product::canonical(&product::row(sums)));
                        }
                    }
                    Sum::Halves => {
                        let row = registers[first / 2];
                        let mut sums = if adds { product::unpack(self.lanes.words(row)) } else { Default::default() };
                        product::accumulate_floats(&mut sums, a, b);
                        self.lanes.set_words(row, &product::pack(&sums));
                    }
                    Sum::Integer | Sum::ClampedInteger => {
                        let mut sums = Default::default();
                        product::accumulate_integers(&mut sums, a, b);
                        for (row, sums) in [registers[first], registers[first + 1]].iter().zip(&sums) {
                            let mut out = product::row(sums);
                            let old = if adds { *self.lanes.words(*row) } else { [0; WARP] };
                            for (out, old) in out.iter_mut().zip(old) {
                                let (product, old) = (*out as i32, old as i32);
                                let clamped = shape.sum == Sum::ClampedInteger;
                                *out = if clamped { old.saturating_add(product) } else { old.wrapping_add(product) }
                                    as u32;
                            }
                            self.lanes.set_words(*row, &out);
                        }
                    }
                }
            }
        }
    }

    /// Eight rows of A from registers: word w of the depth stands in lane 4·row + w % 4 of register 2·(w / 4) + half.
    #[inline(always)]
    fn rows_of_registers(&self, ins: &Instruction, shape: Shape, half: usize, out: &mut [[Eight; 4]]) {
        let mut words = [[0; 8]; DEPTH_WORDS];
        for (word, to) in words.iter_mut().enumerate() {
            let from = self.words(ins, word / 4 * 2 + half);
            for (row, to) in to.iter_mut().enumerate() {
                *to = from[4 * row + word % 4];
            }
        }
        let mut rows = [[0; 8]; MOST_DEPTH];
        let negated = ins.number & 1 == 1;
        product::widen(shape.a, negated, &words, &mut rows[..out.len()]);
        for (to, from) in out.iter_mut().zip(&rows) {
            *to = std::array::from_fn(|at| std::array::from_fn(|lane| from[2 * at + lane / 4]));
        }
    }
}
