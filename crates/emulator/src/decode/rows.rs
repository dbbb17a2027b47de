//! Rows for registers, immediates and special registers.
//!
//! A compiler names a new register for nearly every value. Registers whose lives do not overlap share a row here, so that
//! a warp's registers fit the host's caches. Every write is masked by lane, so sharing is sound also where lanes diverge:
//! each lane's column is a register file of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::special::Special;
use crate::isa::form::Class;
use crate::machine::lanes::{WARP, Wides, Words};

/// The rows of a kernel.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// What predicates hold at first.
    pub(crate) predicates: Vec<u32>,
    /// What words hold at first.
    pub(crate) words: Vec<Words>,
    /// What wides hold at first.
    pub(crate) wides: Vec<Wides>,
    /// Rows that a warp fills with a special register when it starts.
    pub(crate) specials: Vec<(Special, Class, u16)>,
    constants: HashMap<(Class, u64), u16>,
}

/// The row that takes results which nobody wants.
pub(super) const SINK: u16 = 0;

impl Rows {
    /// Only the sinks.
    pub(super) fn new() -> Rows {
        let mut rows = Rows::default();
        for class in [Class::Predicate, Class::Word, Class::Wide] {
            rows.push(class, 0);
        }
        rows
    }

    /// Rows in all.
    pub(super) fn most(&self) -> usize {
        self.predicates.len().max(self.words.len()).max(self.wides.len())
    }

    /// Another row, which holds this value in every lane at first.
    fn push(&mut self, class: Class, value: u64) -> u16 {
        let at = match class {
            Class::Predicate => {
                self.predicates.push(if value & 1 == 1 { u32::MAX } else { 0 });
                self.predicates.len()
            }
            Class::Word => {
                self.words.push([value as u32; WARP]);
                self.words.len()
            }
            Class::Wide => {
                self.wides.push([value; WARP]);
                self.wides.len()
            }
        };
        (at - 1) as u16
    }

    /// The row that always holds a value.
    pub(super) fn constant(&mut self, class: Class, value: u64) -> u16 {
        if let Some(&at) = self.constants.get(&(class, value)) {
            return at;
        }
        let at = self.push(class, value);
        self.constants.insert((class, value), at);
        at
    }

    /// The row that holds a special register.
    pub(super) fn special(&mut self, class: Class, special: Special) -> u16 {
        if let Some(&(.., at)) = self.specials.iter().find(|known| (known.0, known.1) == (special, class)) {
            return at;
        }
        let at = self.push(class, 0);
        self.specials.push((special, class, at));
        at
    }

    /// A row for each register that occurs, given the instructions between which it lives.
    pub(super) fn share(&mut self, classes: &[Class], intervals: &[Option<(usize, usize)>]) -> Vec<u16> {
        let mut by_start: Vec<usize> = (0..classes.len()).filter(|&id| intervals[id].is_some()).collect();
        by_start.sort_by_key(|&id| intervals[id]);
        let mut out = vec![SINK; classes.len()];
        // Rows in use, by the instruction after which they are free again.
        let mut busy: HashMap<Class, BinaryHeap<Reverse<(usize, u16)>>> = HashMap::new();
        for id in by_start {
            let Some((first, last)) = intervals[id] else { continue };
            let busy = busy.entry(classes[id]).or_default();
            let row = match busy.peek() {
                Some(&Reverse((until, row))) if until < first => {
                    busy.pop();
                    row
                }
                _ => self.push(classes[id], 0),
            };
            busy.push(Reverse((last, row)));
            out[id] = row;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_share_a_row_once_the_first_is_dead() {
        let mut rows = Rows::new();
        let word = Class::Word;
        let intervals = [Some((0, 4)), Some((2, 3)), Some((4, 9)), Some((5, 6)), None];
        let out = rows.share(&[word; 5], &intervals);
        assert_eq!(out, [1, 2, 2, 1, SINK]);
        // A row that ends where another begins is not shared: an instruction may read the one after it wrote the other.
        assert_ne!(out[0], out[2]);
    }

    #[test]
    fn equal_constants_share_a_row() {
        let mut rows = Rows::new();
        let one = rows.constant(Class::Word, 1);
        assert_eq!(rows.constant(Class::Word, 1), one);
        assert_ne!(rows.constant(Class::Word, 2), one);
        assert_eq!(rows.words[usize::from(one)], [1; WARP]);
    }
}
