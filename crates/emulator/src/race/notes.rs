//! What the detector remembers of every four bytes of shared memory: the last access of a kind.
//!
//! Nearly all memory is accessed in lines of 16 bytes, so a line has one note, and four only while they differ: what is
//! looked at for every access stays small enough for the host's cache.

use super::Stamp;

/// Granules of a line.
const GRANULES: usize = 4;

/// The last access to every granule.
#[derive(Debug)]
pub(super) struct Notes {
    /// The note of all granules of a line, or [`PARTED`].
    lines: Vec<Stamp>,
    /// The notes of the granules of parted lines; empty as long as there are none.
    granules: Vec<[Stamp; GRANULES]>,
}

/// In place of the note of a line whose granules have notes of their own. No access has it: there is no such agent.
const PARTED: Stamp = Stamp(u64::MAX);

impl Notes {
    /// No access to that many bytes.
    pub(super) fn new(bytes: usize) -> Notes {
        Notes { lines: vec![Stamp::default(); bytes.div_ceil(4 * GRANULES)], granules: Vec::new() }
    }

    /// The note of a line, if its granules have the same.
    #[inline(always)]
    pub(super) fn line(&self, line: usize) -> Option<Stamp> {
        Some(self.lines[line]).filter(|note| *note != PARTED)
    }

    /// The note of a granule.
    #[inline(always)]
    pub(super) fn granule(&self, granule: usize) -> Stamp {
        self.line(granule / GRANULES).unwrap_or_else(|| self.granules[granule / GRANULES][granule % GRANULES])
    }

    /// Replaces the notes of a line.
    #[inline(always)]
    pub(super) fn set_line(&mut self, line: usize, note: Stamp) {
        self.lines[line] = note;
    }

    /// Replaces the note of a granule.
    #[inline(always)]
    pub(super) fn set_granule(&mut self, granule: usize, note: Stamp) {
        let line = granule / GRANULES;
        if let Some(all) = self.line(line) {
            if all == note {
                return;
            }
            if self.granules.is_empty() {
                self.granules = vec![[Stamp::default(); GRANULES]; self.lines.len()];
            }
            self.granules[line] = [all; GRANULES];
            self.lines[line] = PARTED;
        }
        let granules = &mut self.granules[line];
        granules[granule % GRANULES] = note;
        if *granules == [note; GRANULES] {
            self.lines[line] = note;
        }
    }
}

/// The granules that bytes lie in.
#[inline(always)]
pub(super) fn granules(offset: usize, bytes: usize) -> std::ops::Range<usize> {
    offset / 4..(offset + bytes).div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_parts_and_comes_together_again() {
        let mut notes = Notes::new(32);
        let [one, other] = [Stamp(1), Stamp(2)];
        notes.set_line(1, one);
        assert_eq!((notes.line(0), notes.line(1)), (Some(Stamp::default()), Some(one)));
        notes.set_granule(5, other);
        assert_eq!((notes.line(1), notes.granule(4), notes.granule(5)), (None, one, other));
        for granule in [4, 6, 7] {
            notes.set_granule(granule, other);
        }
        assert_eq!(notes.line(1), Some(other));
        notes.set_granule(7, one);
        notes.set_line(1, one);
        assert_eq!(notes.granule(5), one);
    }
}
