//! 8×8 matrices of halves between the lanes of a warp and shared memory: ldmatrix, stmatrix, movmatrix.
//!
//! Lane 4r + t holds the elements 2t and 2t + 1 of row r, the lower half first; transposed, those of column r (PTX ISA,
//! "ldmatrix"). A row in memory is 16 bytes; lane 8i + r holds the address of row r of matrix i.

use super::form::operands::{TO_W, TO_WS, W, WS};
use super::form::{Action, Family, Form, Operand, effect};
use crate::decode::Instruction;
use crate::machine::context::{Effect, Shape, Signed};
use crate::machine::lanes::{WARP, Words, lanes_of};
use crate::memory::{Access, Packet, Space};
use crate::race::ALL_LANES;
use crate::trap::Fault;

/// What stmatrix stores for a row.
const LINE: Shape = Shape { space: Some(Space::Shared), element: 4, count: 4, signed: Signed::No };

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    Form {
        spelling: "ldmatrix.sync.aligned.m8n8{.x1|.x2|.x4}[.trans]{.shared|.shared::cta}.b16",
        operands: &[TO_WS, Operand::Address],
        family: Family::Shared,
        meaning: "d = 8×8 matrices of halves from shared memory; lane 8i + r holds the address of row r of matrix i",
        action: Action::Choose(|chosen, ins| {
            ins.note = chosen.word(0)[1..].parse().ok()?;
            if u32::from(ins.row_count) != ins.note {
                return None;
            }
            Some(if chosen.word(1).is_empty() {
                effect!(Aligned, |effect, ins| { load_some_matrices(effect, ins, direct) })
            } else {
                effect!(Aligned, |effect, ins| { load_some_matrices(effect, ins, transposed) })
            })
        }),
    },
    Form {
        spelling: "stmatrix.sync.aligned.m8n8{.x1|.x2|.x4}[.trans]{.shared|.shared::cta}.b16",
        operands: &[Operand::Address, WS],
        family: Family::Shared,
        meaning: "8×8 matrices of halves to shared memory; lane 8i + r holds the address of row r of matrix i",
        action: Action::Choose(|chosen, ins| {
            ins.note = chosen.word(0)[1..].parse().ok()?;
            if u32::from(ins.row_count) != ins.note {
                return None;
            }
            Some(if chosen.word(1).is_empty() {
                effect!(Aligned, |effect, ins| { store_matrices(effect, ins, |words| *words) })
            } else {
                effect!(Aligned, |effect, ins| { store_matrices(effect, ins, |words| transposed(&rows_of(words))) })
            })
        }),
    },
    Form {
        spelling: "movmatrix.sync.aligned.m8n8.trans.b16",
        operands: &[TO_W, W],
        family: Family::Exchange,
        meaning: "d = the 8×8 matrix of halves a, transposed",
        action: effect!(Aligned, |effect, ins| {
            let out = transposed(&rows_of(effect.words(ins, 1)));
            effect.lanes.set_words(ins.rows[0], &out);
            Ok(())
        }),
    },
];

/// Loads 8×8 matrices of halves; `spread` gives each lane its two elements of one.
#[inline(always)]
fn load_some_matrices(
    effect: &mut Effect<'_>,
    ins: &Instruction,
    spread: impl Fn(&[[u32; 4]; 8]) -> Words,
) -> Result<(), Box<Fault>> {
    match ins.note {
        // Nearly always. A number that is known becomes vector code.
        4 => load_matrices(effect, ins, 4, spread),
        count => load_matrices(effect, ins, count as usize, spread),
    }
}

#[inline(always)]
fn load_matrices(
    effect: &mut Effect<'_>,
    ins: &Instruction,
    count: usize,
    spread: impl Fn(&[[u32; 4]; 8]) -> Words,
) -> Result<(), Box<Fault>> {
    let addresses = effect.addresses(ins.addresses[0]);
    if effect.watches() {
        effect.counts.shared_rows(effect.pc, &addresses, 8 * count);
    }
    let offsets = effect.shared_lines(Access::Load, &addresses, 8 * count)?;
    // All lanes of the warp get a part of every row, so all of them read it.
    effect.watch_shared(Access::Load, ALL_LANES, |races, actor| races.read_lines(actor, &offsets[..8 * count]))?;
    for matrix in 0..count {
        let mut rows = [[0; 4]; 8];
        for (row, to) in rows.iter_mut().enumerate() {
            let offset = offsets[8 * matrix + row];
            if effect.watches() && !effect.shared.line_is_written(offset) {
                effect.check_shared_written(8 * matrix + row, offset, 16)?;
            }
            *to = *effect.shared.line(offset);
        }
        effect.lanes.set_words(ins.rows[matrix], &spread(&rows));
    }
    Ok(())
}

/// Lane 4r + t gets the elements 2t and 2t + 1 of row r.
#[inline(always)]
fn direct(rows: &[[u32; 4]; 8]) -> Words {
    let mut out = [0; WARP];
    for (lane, value) in out.iter_mut().enumerate() {
        *value = rows[lane / 4][lane % 4];
    }
    out
}

/// Lane 4c + t gets the elements of column c in the rows 2t and 2t + 1.
#[inline(always)]
fn transposed(rows: &[[u32; 4]; 8]) -> Words {
    let mut out = [0; WARP];
    for (lane, value) in out.iter_mut().enumerate() {
        let (column, row) = (lane / 4, lane % 4 * 2);
        let shift = column % 2 * 16;
        let half = |row: usize| rows[row][column / 2] >> shift & 0xFFFF;
        *value = half(row) | half(row + 1) << 16;
    }
    out
}

/// The rows of the matrix that lanes hold.
#[inline(always)]
fn rows_of(words: &Words) -> [[u32; 4]; 8] {
    let (rows, _) = words.as_chunks::<4>();
    std::array::from_fn(|row| rows[row])
}

/// Stores 8×8 matrices of halves; `gather` turns what lanes hold into rows of memory, one after the other.
#[inline(always)]
fn store_matrices(
    effect: &mut Effect<'_>,
    ins: &Instruction,
    gather: impl Fn(&Words) -> Words,
) -> Result<(), Box<Fault>> {
    let count = ins.note as usize;
    let addresses = effect.addresses(ins.addresses[0]);
    if effect.watches() {
        effect.counts.shared_rows(effect.pc, &addresses, 8 * count);
    }
    let offsets = effect.shared_lines(Access::Store, &addresses, 8 * count)?;
    let mut rows: [Packet; WARP] = [[0; 8]; WARP];
    for matrix in 0..count {
        for (row, line) in rows_of(&gather(effect.words(ins, matrix))).into_iter().enumerate() {
            rows[8 * matrix + row][..4].copy_from_slice(&line);
        }
    }
    let all = u32::MAX >> (WARP - 8 * count);
    for row in lanes_of(effect.storing(all, LINE, &addresses, |_, row| rows[row])?) {
        // All lanes of the warp have a part in it.
        effect.watch_store(ALL_LANES, offsets[row], 16, &rows[row])?;
        effect.shared.store(offsets[row], 16, &rows[row]);
    }
    Ok(())
}
