//! What is counted while a kernel runs: per instruction, so that counting costs two additions, and summed up afterwards.

use super::lanes::{WARP, lanes_of};

/// Bytes of a sector: the least that global memory moves.
const SECTOR: u64 = 32;
/// Banks of shared memory, each four bytes wide.
const BANKS: usize = 32;

/// Counts of one host thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    instructions: usize,
    /// How often each warp of a CTA executed each instruction: warp after warp.
    pub(crate) executed: Vec<u64>,
    /// Lanes that executed each instruction.
    pub(crate) lanes: Vec<u64>,
    /// What each instruction moved.
    pub(crate) traffic: Vec<Traffic>,
}

/// What one instruction moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes that lanes asked for.
    pub(crate) bytes: u64,
    /// Sectors of global memory that a warp touched, each counted once for each of its requests.
    pub(crate) sectors: u64,
    /// Passes through the banks of shared memory.
    pub(crate) wavefronts: u64,
    /// Passes that would have been enough without conflicts.
    pub(crate) ideal: u64,
}

impl Counts {
    /// Zero for that many instructions and warps of a CTA.
    pub(crate) fn new(instructions: usize, warps: usize) -> Counts {
        Counts {
            instructions,
            executed: vec![0; instructions * warps],
            lanes: vec![0; instructions],
            traffic: vec![Traffic::default(); instructions],
        }
    }

    /// Counts one execution.
    #[inline(always)]
    pub(crate) fn execute(&mut self, warp: usize, pc: u32, mask: u32) {
        self.executed[warp * self.instructions + pc as usize] += 1;
        // Nearly always all; where the host has no instruction for it, counting bits takes a while.
        self.lanes[pc as usize] += if mask == u32::MAX { WARP as u64 } else { u64::from(mask.count_ones()) };
    }

    /// Takes an execution back that has to be tried again.
    pub(crate) fn take_back(&mut self, warp: usize, pc: u32, mask: u32) {
        self.executed[warp * self.instructions + pc as usize] -= 1;
        self.lanes[pc as usize] -= u64::from(mask.count_ones());
    }

    /// Counts a request to global memory.
    pub(crate) fn global(&mut self, pc: u32, addresses: &[u64; WARP], mask: u32, bytes: usize) {
        let traffic = &mut self.traffic[pc as usize];
        traffic.bytes += u64::from(mask.count_ones()) * bytes as u64;
        let (mut sectors, mut last) = (0, u64::MAX);
        let mut seen: [u64; 2 * WARP] = [0; 2 * WARP];
        for lane in lanes_of(mask) {
            let first = addresses[lane] / SECTOR;
            if first == last {
                continue;
            }
            last = first;
            if !seen[..sectors].contains(&first) {
                seen[sectors] = first;
                sectors += 1;
            }
        }
        traffic.sectors += sectors as u64;
    }

    /// Counts a bulk copy.
    pub(crate) fn bulk(&mut self, pc: u32, bytes: u64, sectors: u64) {
        let traffic = &mut self.traffic[pc as usize];
        traffic.bytes += bytes;
        traffic.sectors += sectors;
    }

    /// Counts a request to shared memory of every lane of the mask.
    pub(crate) fn shared(&mut self, pc: u32, addresses: &[u64; WARP], mask: u32, bytes: usize) {
        // A pass serves 128 bytes: wide accesses go in groups of lanes.
        let unit = bytes.clamp(4, 16);
        let group = BANKS * 4 / unit;
        let traffic = &mut self.traffic[pc as usize];
        traffic.bytes += u64::from(mask.count_ones()) * bytes as u64;
        for first in (0..WARP).step_by(group) {
            let lanes = mask & (((1u64 << group) - 1) << first) as u32;
            let passes = passes(addresses, lanes, unit as u64, group);
            traffic.wavefronts += passes;
            traffic.ideal += u64::from(lanes != 0);
        }
    }

    /// Counts rows of 16 bytes that are fetched eight at a time, as ldmatrix does.
    #[inline(always)]
    pub(crate) fn shared_rows(&mut self, pc: u32, addresses: &[u64; WARP], rows: usize) {
        let traffic = &mut self.traffic[pc as usize];
        traffic.bytes += 16 * rows as u64;
        for first in (0..rows).step_by(8) {
            // Without conflicts the eight rows lie in eight different groups of four banks.
            let groups = addresses[first..first + 8].iter().fold(0u32, |seen, address| seen | 1 << (address / 16 % 8));
            traffic.wavefronts += if groups == 0xFF { 1 } else { passes(addresses, 0xFF << first, 16, 8) };
            traffic.ideal += 1;
        }
    }

    /// Counts a matrix operand, which is fetched by eight lines of 16 bytes that stand so many places apart in the list.
    pub(crate) fn operand(&mut self, pc: u32, lines: &[u32], apart: usize) {
        let traffic = &mut self.traffic[pc as usize];
        traffic.bytes += 16 * lines.len() as u64;
        for lines in lines.chunks_exact(8 * apart) {
            for first in 0..apart {
                let group = |at: usize| lines[first + apart * at] / 16 % 8;
                // Nearly always eight different groups of four banks.
                let most = if (0..8).fold(0u32, |seen, at| seen | 1 << group(at)) == 0xFF {
                    1
                } else {
                    (0..8).map(|bank| (0..8).filter(|at| group(*at) == bank).count()).max().unwrap_or(0)
                };
                traffic.wavefronts += most as u64;
                traffic.ideal += 1;
            }
        }
    }

    /// Adds the counts of another host thread.
    pub(crate) fn add(&mut self, other: &Counts) {
        for (to, from) in self.executed.iter_mut().zip(&other.executed) {
            *to += from;
        }
        for (to, from) in self.lanes.iter_mut().zip(&other.lanes) {
            *to += from;
        }
        for (to, from) in self.traffic.iter_mut().zip(&other.traffic) {
            to.bytes += from.bytes;
            to.sectors += from.sectors;
            to.wavefronts += from.wavefronts;
            to.ideal += from.ideal;
        }
    }
}

/// Passes that units of memory need: as many as the fullest group of banks has different units. Lanes that ask for the
/// same unit are served together.
fn passes(addresses: &[u64; WARP], lanes: u32, unit: u64, groups: usize) -> u64 {
    let mut units = [[0u64; WARP]; BANKS];
    let mut counts = [0usize; BANKS];
    for lane in lanes_of(lanes) {
        let wanted = addresses[lane] / unit;
        let group = wanted as usize % groups;
        let (row, count) = (&mut units[group], &mut counts[group]);
        if !row[..*count].contains(&wanted) {
            row[*count] = wanted;
            *count += 1;
        }
    }
    counts.into_iter().max().unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(bytes: usize, mask: u32, address: impl Fn(u64) -> u64) -> (u64, u64) {
        let mut counts = Counts::new(1, 1);
        counts.shared(0, &std::array::from_fn(|lane| address(lane as u64)), mask, bytes);
        (counts.traffic[0].wavefronts, counts.traffic[0].ideal)
    }

    #[test]
    fn conflicts_are_different_words_in_one_bank() {
        assert_eq!(shared(4, u32::MAX, |lane| lane * 4), (1, 1));
        assert_eq!(shared(4, u32::MAX, |lane| lane * 8), (2, 1));
        assert_eq!(shared(4, u32::MAX, |lane| lane * 128), (32, 1));
        assert_eq!(shared(4, u32::MAX, |_| 64), (1, 1));
        assert_eq!(shared(1, u32::MAX, |lane| lane), (1, 1));
        assert_eq!(shared(8, u32::MAX, |lane| lane * 8), (2, 2));
        assert_eq!(shared(16, u32::MAX, |lane| lane * 16), (4, 4));
        assert_eq!(shared(16, u32::MAX, |lane| lane * 128), (32, 4));
        assert_eq!(shared(16, 0xFF, |lane| lane * 16), (1, 1));
    }

    #[test]
    fn rows_of_a_swizzled_tile_do_not_conflict() {
        let mut counts = Counts::new(1, 1);
        let swizzled = std::array::from_fn(|row| (row * 128 + (row % 8) * 16) as u64);
        counts.shared_rows(0, &swizzled, 32);
        assert_eq!((counts.traffic[0].wavefronts, counts.traffic[0].ideal), (4, 4));
        let plain = std::array::from_fn(|row| (row * 128) as u64);
        counts.shared_rows(0, &plain, 16);
        assert_eq!((counts.traffic[0].wavefronts, counts.traffic[0].ideal), (4 + 16, 6));
    }

    #[test]
    fn lines_of_an_operand_conflict_where_eight_rows_share_banks() {
        let mut counts = Counts::new(1, 1);
        // Two lines of each of eight rows: 32 bytes apart, so that every fourth row shares a bank group with the first.
        let plain: Vec<u32> = (0..8).flat_map(|row| [32 * row, 32 * row + 16]).collect();
        counts.operand(0, &plain, 2);
        assert_eq!((counts.traffic[0].wavefronts, counts.traffic[0].ideal, counts.traffic[0].bytes), (4, 2, 256));
        let swizzled: Vec<u32> = plain.iter().map(|at| at ^ (at >> 7 & 1) << 4).collect();
        counts.operand(0, &swizzled, 2);
        assert_eq!((counts.traffic[0].wavefronts, counts.traffic[0].ideal), (6, 4));
    }

    #[test]
    fn sectors_count_once_for_a_request() {
        let mut counts = Counts::new(1, 1);
        counts.global(0, &std::array::from_fn(|lane| lane as u64 * 4), u32::MAX, 4);
        counts.global(0, &std::array::from_fn(|lane| lane as u64 * 128), 0b11, 4);
        assert_eq!((counts.traffic[0].bytes, counts.traffic[0].sectors), (136, 6));
    }
}
