//! Values that the lanes of a warp give each other.

use super::lanes::{Lanes, WARP, Words, lanes_of};
use crate::decode::Instruction;
use crate::isa::form::{Class, Operand};
use crate::trap::Fault;

/// What the lanes of a member mask bring to an exchange, and what they take home. Lanes may come from different places of
/// the code, so the values stand apart from the registers.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Lanes that take part: the member mask without lanes that have ended.
    pub(crate) lanes: u32,
    /// First, second and third word operand.
    pub(crate) words: [Words; 3],
    /// The predicate operand.
    pub(crate) predicate: u32,
    /// The word that each lane gets.
    pub(crate) to_words: Words,
    /// The predicate that each lane gets.
    pub(crate) to_predicate: u32,
    /// What went wrong, if anything did.
    pub(crate) fault: Option<Box<Fault>>,
}

impl Exchange {
    /// An exchange among these lanes, to which nobody has brought anything.
    pub(crate) fn new(lanes: u32) -> Exchange {
        Exchange { lanes, words: [[0; WARP]; 3], predicate: 0, to_words: [0; WARP], to_predicate: 0, fault: None }
    }

    /// Takes what these lanes bring at an instruction.
    pub(crate) fn gather(&mut self, from: &Lanes, ins: &Instruction, lanes: u32) {
        let mut words = 0;
        let inputs = places(ins).filter(|(_, operand)| !is_output(*operand));
        for (row, operand) in inputs {
            match operand {
                Operand::In(Class::Predicate) => {
                    self.predicate = self.predicate & !lanes | from.predicate(row) & lanes;
                }
                Operand::In(Class::Word) if words < 3 => {
                    let (to, from) = (&mut self.words[words], from.words(row));
                    if lanes == u32::MAX {
                        *to = *from;
                    } else {
                        lanes_of(lanes).for_each(|lane| to[lane] = from[lane]);
                    }
                    words += 1;
                }
                // Its halves take two places.
                Operand::In(Class::Wide) => {
                    for lane in lanes_of(lanes) {
                        let value = from.wides(row)[lane];
                        (self.words[0][lane], self.words[1][lane]) = (value as u32, (value >> 32) as u32);
                    }
                    words = 2;
                }
                _ => {}
            }
        }
    }

    /// Gives these lanes what they get at an instruction.
    pub(crate) fn scatter(&self, to: &mut Lanes, ins: &Instruction, lanes: u32) {
        to.set_mask(lanes);
        for (row, operand) in places(ins).filter(|(_, operand)| is_output(*operand)) {
            match operand {
                Operand::Out(Class::Predicate) => to.set_predicate(row, self.to_predicate),
                _ => to.set_words(row, &self.to_words),
            }
        }
    }
}

/// The member mask of each lane: the last word operand.
pub(crate) fn member_masks<'a>(lanes: &'a Lanes, ins: &Instruction) -> &'a Words {
    lanes.words(ins.rows[usize::from(ins.row_count).saturating_sub(1)])
}

/// The one member mask that all these lanes name.
pub(crate) fn member_mask(lanes: &Lanes, ins: &Instruction, active: u32) -> Result<u32, Box<Fault>> {
    let masks = member_masks(lanes, ins);
    let mask = masks[active.trailing_zeros() as usize % WARP];
    for lane in lanes_of(active) {
        if masks[lane] >> lane & 1 == 0 {
            return Err(Box::new(Fault::NotAMember { lane, mask: masks[lane] }));
        }
        if masks[lane] != mask {
            return Err(Box::new(Fault::MaskMismatch { one: mask, other: masks[lane] }));
        }
    }
    Ok(mask)
}

/// The rows of an instruction with what they are; a pair counts as its halves.
fn places(ins: &Instruction) -> impl Iterator<Item = (u16, Operand)> {
    let operands = ins.form.operands.iter().flat_map(|operand| match *operand {
        Operand::OutPair(first, second) => [Some(Operand::Out(first)), Some(Operand::Out(second))],
        one => [Some(one), None],
    });
    ins.rows.into_iter().zip(operands.flatten())
}

fn is_output(operand: Operand) -> bool {
    matches!(operand, Operand::Out(_))
}
