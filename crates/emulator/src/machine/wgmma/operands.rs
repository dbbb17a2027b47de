//! The operands of a `wgmma`: found in shared memory, read, and multiplied into the registers of a warp.

use super::shape::{ROWS, Shape, Turns, WARP_ROWS};
use crate::decode::Instruction;
use crate::machine::context::Effect;
use crate::machine::descriptor::{Descriptor, Major};
use crate::machine::lanes::{WARP, Words};
use crate::memory::nearest;
use crate::memory::shared::FIRST;
use crate::numeric::product::{self, DEPTH_WORDS, Element, MOST_DEPTH, Sum, Sums};
use crate::trap::Fault;

/// The shared operands of a product.
#[derive(Debug, Default)]
pub(super) struct Operands {
    /// Offsets of their lines, of A and then of B.
    pub(super) lines: Vec<u32>,
    /// How many of them are A's.
    lines_of_a: usize,
    /// Elements, step of the depth after step.
    a: Vec<u32>,
    b: Vec<u32>,
    words: Vec<u32>,
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
        lines[first..].iter_mut().for_each(|at| *at -= FIRST);
        Ok(())
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
        let Operands { lines, lines_of_a, a, b, words } = operands;
        let (lines_a, lines_b) = lines.split_at(*lines_of_a);
        if !shape.in_registers {
            a.resize(shape.depth() * ROWS, 0);
            match turns.a {
                Major::Depth => {
                    self.words_along_depth(lines_a, ROWS, words, |row| row);
                    product::widen(shape.a, turns.negates_a, words, ROWS, a);
                }
                Major::Other => self.widen_across(shape.a, turns.negates_a, lines_a, ROWS, a, |row| row),
            }
        }
        // Of eight columns the even ones stand first: as the registers of a warp hold them.
        let place = |column: usize| (column & !7) + column % 2 * 4 + column % 8 / 2;
        b.resize(shape.depth() * shape.columns, 0);
        match turns.b {
            Major::Depth => {
                self.words_along_depth(lines_b, shape.columns, words, place);
                product::widen(shape.b, turns.negates_b, words, shape.columns, b);
            }
            Major::Other => self.widen_across(shape.b, turns.negates_b, lines_b, shape.columns, b, place),
        }
    }

    /// Words of a matrix whose lines run along the depth: word w of row r at `w * rows + place(r)`.
    #[inline(always)]
    fn words_along_depth(&self, lines: &[u32], rows: usize, words: &mut Vec<u32>, place: impl Fn(usize) -> usize) {
        words.resize(DEPTH_WORDS * rows, 0);
        for (row, pair) in lines.chunks_exact(2).enumerate() {
            for (half, offset) in pair.iter().enumerate() {
                for (word, value) in self.shared.line(*offset as usize).iter().enumerate() {
                    words[(4 * half + word) * rows + place(row)] = *value;
                }
            }
        }
    }

    /// Elements of a matrix whose lines hold eight rows at one step of the depth.
    #[inline(always)]
    fn widen_across(
        &self,
        element: Element,
        negated: bool,
        lines: &[u32],
        rows: usize,
        out: &mut [u32],
        place: impl Fn(usize) -> usize,
    ) {
        for (lines, out) in lines.chunks_exact(rows / 8).zip(out.chunks_exact_mut(rows)) {
            for (group, offset) in lines.iter().enumerate() {
                for (word, value) in self.shared.line(*offset as usize).iter().enumerate() {
                    for half in 0..2 {
                        let row = 8 * group + 2 * word + half;
                        out[place(row)] = product::widen_half(element, negated, value >> (16 * half));
                    }
                }
            }
        }
    }

    /// Adds sixteen rows of a product to the registers of the warp.
    #[inline(always)]
    pub(super) fn multiply(&mut self, ins: &Instruction, own: usize, adds: bool, operands: &Operands) {
        let shape = Shape::of(ins.note);
        let (columns, depth) = (shape.columns, shape.depth());
        let sums =
            &self.launch.code.products.sets[usize::from(self.launch.code.products.uses[usize::from(ins.set)].sums)];
        let mut a = [[0; WARP]; MOST_DEPTH];
        for half in 0..2 {
            if shape.in_registers {
                self.rows_of_registers(ins, shape, half, &mut a);
            } else {
                let first = WARP_ROWS * own + 8 * half;
                for (to, from) in a.iter_mut().zip(operands.a.chunks_exact(ROWS)) {
                    let Some((rows, _)) = from[first..].split_first_chunk::<8>() else { break };
                    *to = std::array::from_fn(|lane| rows[lane / 4]);
                }
            }
            for group in 0..columns / 8 {
                let b = &operands.b[8 * group..];
                match shape.sum {
                    Sum::Single => {
                        let rows = [0, 1].map(|parity| sums.rows[4 * group + 2 * half + parity]);
                        let mut out: Sums = rows.map(|row| if adds { *self.lanes.words(row) } else { [0; WARP] });
                        product::accumulate_floats(&mut out, &a, b, columns, depth);
                        for (row, out) in rows.iter().zip(&out) {
                            self.lanes.set_words(*row, &product::canonical(out));
                        }
                    }
                    Sum::Halves => {
                        let row = sums.rows[2 * group + half];
                        let pairs = if adds { *self.lanes.words(row) } else { [0; WARP] };
                        let mut out = product::unpack(&pairs);
                        product::accumulate_floats(&mut out, &a, b, columns, depth);
                        self.lanes.set_words(row, &product::pack(&out));
                    }
                    Sum::Integer | Sum::ClampedInteger => {
                        let rows = [0, 1].map(|parity| sums.rows[4 * group + 2 * half + parity]);
                        let mut out = [[0; WARP]; 2];
                        product::accumulate_integers(&mut out, &a, b, columns, depth);
                        for (row, out) in rows.iter().zip(&mut out) {
                            let old = if adds { *self.lanes.words(*row) } else { [0; WARP] };
                            for (out, old) in out.iter_mut().zip(old) {
                                let (product, old) = (*out as i32, old as i32);
                                let clamped = shape.sum == Sum::ClampedInteger;
                                *out = if clamped { old.saturating_add(product) } else { old.wrapping_add(product) }
                                    as u32;
                            }
                            self.lanes.set_words(*row, out);
                        }
                    }
                }
            }
        }
    }

    /// Eight rows of A from registers: word w of the depth stands in lane 4·row + w % 4 of register 2·(w / 4) + half.
    #[inline(always)]
    fn rows_of_registers(&self, ins: &Instruction, shape: Shape, half: usize, out: &mut [Words; MOST_DEPTH]) {
        let per_word = shape.a.per_word();
        let mut words = [0; DEPTH_WORDS * WARP];
        for (word, to) in words.chunks_exact_mut(WARP).enumerate() {
            let from = self.words(ins, word / 4 * 2 + half);
            for (lane, to) in to.iter_mut().enumerate() {
                *to = from[lane / 4 * 4 + word % 4];
            }
        }
        let negated = ins.number & 1 == 1;
        product::widen(shape.a, negated, &words, WARP, out[..DEPTH_WORDS * per_word].as_flattened_mut());
    }
}
