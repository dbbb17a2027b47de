//! Mbarriers: objects in shared memory that count arrivals and bytes, phase after phase.
//!
//! The eight bytes of an object are opaque to a kernel, so the counts are kept here, by its place in shared memory. Numbers
//! of phases are counted from 0; the parity of a wait is the lowest bit of the phase that it waits for.

use crate::misuse::MbarrierMisuse;
use crate::race::Contribution;

/// Most arrivals of a phase, and most bytes that one may lack or have too many.
const MOST: u32 = (1 << 20) - 1;

/// In place of the place of an mbarrier: the barrier of the cluster.
pub(crate) const CLUSTER: u32 = u32::MAX;

/// The mbarriers of a CTA.
#[derive(Debug, Default)]
pub(crate) struct Mbarriers {
    all: Vec<Mbarrier>,
    /// Those that completed a phase since somebody looked.
    completed: Vec<u32>,
    /// Of places that were an mbarrier before: the phases that it had.
    before: Vec<(u32, u32)>,
}

/// One mbarrier.
#[derive(Debug)]
pub(crate) struct Mbarrier {
    /// Where it lies in shared memory.
    pub(crate) offset: u32,
    /// Who made it.
    pub(crate) maker: Maker,
    /// Arrivals of the next phases.
    expected: u32,
    /// Arrivals that this phase lacks.
    pending: u32,
    /// Bytes that this phase lacks; negative if they came before they were expected.
    bytes: i64,
    /// The present phase: the one that is not complete.
    pub(crate) phase: u32,
    /// Phases of the mbarriers that were at this place before.
    before: u32,
    /// Phases whose completion somebody was told of, from the first on.
    observed: u32,
    /// What those know who arrived in this phase.
    pub(crate) arriving: Contribution,
    /// What those know who arrived in the phases before.
    pub(crate) done: Contribution,
    /// Who arrived in this phase and in the one before: warp and instruction.
    arrived: [Vec<(u32, u32)>; 2],
    /// Phases in which bulk copies were started whose bytes have not come.
    copies: Vec<u32>,
    /// The last bulk copy that was started: its phase, warp and instruction.
    last_copy: Option<(u32, u32, u32)>,
}

/// The thread that initialised an mbarrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maker {
    pub(crate) warp: u32,
    pub(crate) lane: u32,
    /// The clock of its warp.
    pub(crate) clock: u32,
    /// The instruction.
    pub(crate) pc: u32,
}

/// How a thread arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrive {
    /// In this phase, and in all that follow.
    Stay,
    /// In this phase for the last time.
    Drop,
    /// In this phase, which must lack more than that.
    NoComplete,
}

impl Mbarriers {
    /// The mbarrier at a place.
    pub(crate) fn find(&mut self, offset: u32) -> Option<&mut Mbarrier> {
        self.all.iter_mut().find(|mbarrier| mbarrier.offset == offset)
    }

    /// The mbarrier that has one of these bytes.
    pub(crate) fn touching(&self, offset: u32, bytes: u32) -> Option<&Mbarrier> {
        self.all.iter().find(|mbarrier| mbarrier.offset < offset + bytes && offset < mbarrier.offset + 8)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mbarrier> {
        self.all.iter()
    }

    /// Makes one, for that many arrivals a phase.
    pub(crate) fn init(&mut self, offset: u32, count: u32, maker: Maker) -> Result<(), MbarrierMisuse> {
        if !(1..=MOST).contains(&count) {
            return Err(MbarrierMisuse::Count { count });
        }
        self.all.push(Mbarrier {
            offset,
            maker,
            expected: count,
            pending: count,
            bytes: 0,
            phase: 0,
            before: self.before.iter().rev().find(|(at, _)| *at == offset).map_or(0, |(_, phases)| *phases),
            observed: 0,
            arriving: Contribution::default(),
            done: Contribution::default(),
            arrived: Default::default(),
            copies: Vec::new(),
            last_copy: None,
        });
        Ok(())
    }

    /// Makes memory of one again.
    pub(crate) fn invalidate(&mut self, offset: u32) -> Result<(), MbarrierMisuse> {
        let Some(at) = self.all.iter().position(|mbarrier| mbarrier.offset == offset) else {
            return Err(MbarrierMisuse::NotInitialised);
        };
        let Mbarrier { pending, expected, bytes, ref copies, .. } = self.all[at];
        if pending != expected || bytes != 0 || !copies.is_empty() {
            return Err(MbarrierMisuse::InUse { pending, expected, bytes });
        }
        let gone = self.all.swap_remove(at);
        self.before.retain(|(at, _)| *at != offset);
        self.before.push((offset, gone.before + gone.phase));
        Ok(())
    }

    /// Notes that one completed a phase.
    pub(crate) fn complete(&mut self, offset: u32) {
        self.completed.push(offset);
    }

    /// Those that completed a phase since the last call.
    pub(crate) fn take_completed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.completed)
    }
}

impl Mbarrier {
    /// That many arrivals of a warp at an instruction. Gives whether they complete the phase.
    pub(crate) fn arrive(&mut self, count: u32, how: Arrive, (warp, pc): (u32, u32)) -> Result<bool, MbarrierMisuse> {
        let Mbarrier { pending, expected, bytes, phase, .. } = *self;
        if !(1..=MOST).contains(&count) {
            return Err(MbarrierMisuse::Count { count });
        }
        if count > pending {
            return Err(MbarrierMisuse::TooManyArrivals { count, pending, expected, bytes, phase });
        }
        if how == Arrive::NoComplete && count == pending && bytes == 0 {
            return Err(MbarrierMisuse::Completes { phase });
        }
        self.pending -= count;
        if how == Arrive::Drop {
            self.expected = self.expected.saturating_sub(count);
        }
        if !self.arrived[0].contains(&(warp, pc)) {
            self.arrived[0].push((warp, pc));
        }
        self.turn()
    }

    /// One arrival more is lacking in this phase.
    pub(crate) fn expect_arrival(&mut self) -> Result<(), MbarrierMisuse> {
        if self.pending == MOST {
            return Err(MbarrierMisuse::Count { count: MOST + 1 });
        }
        self.pending += 1;
        Ok(())
    }

    /// That many bytes are lacking, or come if there are fewer than none. Gives whether they complete the phase.
    pub(crate) fn expect_bytes(&mut self, bytes: i64) -> Result<bool, MbarrierMisuse> {
        let sum = self.bytes + bytes;
        if sum.unsigned_abs() > u64::from(MOST) {
            return Err(MbarrierMisuse::TooManyBytes { bytes: sum });
        }
        self.bytes = sum;
        self.turn()
    }

    /// A bulk copy is started by a warp at an instruction. Gives its phase.
    pub(crate) fn start_copy(&mut self, (warp, pc): (u32, u32)) -> u32 {
        self.copies.push(self.phase);
        self.last_copy = Some((self.phase, warp, pc));
        self.phase
    }

    /// A bulk copy that was started in a phase has come, with that many bytes. Gives whether they complete the phase.
    pub(crate) fn end_copy(&mut self, phase: u32, bytes: u32) -> Result<bool, MbarrierMisuse> {
        if let Some(at) = self.copies.iter().position(|copy| *copy == phase) {
            self.copies.swap_remove(at);
        }
        self.expect_bytes(-i64::from(bytes))
    }

    /// Whether the phase was completed; then the next one begins. A second one over the head of all who wait would look to
    /// them, who know its parity alone, as if neither were.
    fn turn(&mut self) -> Result<bool, MbarrierMisuse> {
        if self.pending != 0 || self.bytes != 0 {
            return Ok(false);
        }
        if self.observed < self.phase {
            return Err(MbarrierMisuse::Unobserved { phase: self.phase - 1 });
        }
        self.phase = self.phase.wrapping_add(1);
        self.pending = self.expected;
        self.arrived.swap(0, 1);
        self.arrived[0].clear();
        self.done.join(&self.arriving);
        self.arriving = Contribution::default();
        Ok(true)
    }

    /// Phases, from the first on, whose bulk copies have all come.
    fn phases_copied(&self) -> u32 {
        self.copies.iter().copied().min().unwrap_or(self.phase).min(self.phase)
    }

    /// The clock of the agent that stands for the bulk copies of a phase.
    pub(crate) fn clock_of(&self, phase: u32) -> u32 {
        self.before + phase + 1
    }

    /// The clock up to which all bulk copies have come.
    pub(crate) fn clock_copied(&self) -> u32 {
        self.before + self.phases_copied()
    }

    /// Whether the phase before the present one has this parity: what a wait asks. Whoever is told so has observed it.
    pub(crate) fn passes(&mut self, parity: u32) -> bool {
        let passes = self.phase & 1 != parity & 1;
        if passes {
            self.observed = self.phase;
        }
        passes
    }

    /// As `passes`, for the phase of a state.
    pub(crate) fn passes_state(&mut self, state: u64) -> Result<bool, MbarrierMisuse> {
        let (asked, phase) = ((state >> 32) as u32, self.phase);
        if asked != phase && asked.wrapping_add(1) != phase {
            return Err(MbarrierMisuse::StaleState { state: asked, phase });
        }
        Ok(asked != phase && self.passes(asked))
    }

    /// The opaque state that an arrival gives: the phase, and the arrivals that it lacked.
    pub(crate) fn state(&self) -> u64 {
        u64::from(self.phase) << 32 | u64::from(self.pending)
    }

    /// The last bulk copy, if nobody was told that its phase is complete: its warp and instruction.
    pub(crate) fn unobserved_copy(&self) -> Option<(u32, u32)> {
        self.last_copy.filter(|(phase, ..)| self.observed <= *phase).map(|(_, warp, pc)| (warp, pc))
    }

    /// What its phase lacks, in words; `who` names a warp at an instruction.
    pub(crate) fn missing(&self, who: impl Fn(u32, u32) -> String) -> String {
        let Mbarrier { pending, expected, bytes, phase, .. } = *self;
        let mut out = format!("phase {phase} lacks {pending} of {expected} arrivals");
        match bytes {
            0 => {}
            1.. => out += &format!(" and {bytes} bytes"),
            _ => out += &format!(", and {} bytes came that nobody expected", -bytes),
        }
        let who = |arrivals: &[(u32, u32)]| {
            arrivals.iter().map(|&(warp, pc)| who(warp, pc)).collect::<Vec<String>>().join(", ")
        };
        match self.arrived[0].as_slice() {
            [] if phase == 0 => out += "; nobody ever arrived",
            [] => out += "; nobody has arrived in it",
            arrived => out += &format!("; arrived: {}", who(arrived)),
        }
        if !self.arrived[1].is_empty() && pending > 0 {
            out += &format!("; in the phase before: {}", who(&self.arrived[1]));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKER: Maker = Maker { warp: 0, lane: 0, clock: 1, pc: 0 };

    fn mbarrier(count: u32) -> Mbarrier {
        let mut all = Mbarriers::default();
        all.init(8, count, MAKER).unwrap();
        all.all.pop().unwrap()
    }

    fn arrive(mbarrier: &mut Mbarrier, count: u32) -> Result<bool, MbarrierMisuse> {
        mbarrier.arrive(count, Arrive::Stay, (0, 0))
    }

    #[test]
    fn a_fresh_mbarrier_passes_parity_1_only() {
        let mut mbarrier = mbarrier(1);
        assert!(mbarrier.passes(1) && !mbarrier.passes(0));
        assert_eq!(arrive(&mut mbarrier, 1), Ok(true));
        assert!(mbarrier.passes(0) && !mbarrier.passes(1));
    }

    #[test]
    fn a_phase_is_complete_when_arrivals_and_bytes_have_come() {
        let mut mbarrier = mbarrier(2);
        assert_eq!(mbarrier.expect_bytes(64), Ok(false));
        assert_eq!(arrive(&mut mbarrier, 2), Ok(false));
        assert_eq!(mbarrier.expect_bytes(-32), Ok(false));
        assert_eq!(mbarrier.expect_bytes(-32), Ok(true));
        // Bytes that come early are a debt, which is paid in the same phase.
        assert!(mbarrier.passes(0));
        assert_eq!(mbarrier.expect_bytes(-16), Ok(false));
        assert_eq!(arrive(&mut mbarrier, 2), Ok(false));
        assert_eq!(mbarrier.expect_bytes(16), Ok(true));
    }

    #[test]
    fn counts_run_neither_over_nor_under() {
        let mut mbarrier = mbarrier(2);
        let too_many = MbarrierMisuse::TooManyArrivals { count: 3, pending: 2, expected: 2, bytes: 0, phase: 0 };
        assert_eq!(arrive(&mut mbarrier, 3), Err(too_many));
        assert_eq!(arrive(&mut mbarrier, 0), Err(MbarrierMisuse::Count { count: 0 }));
        assert_eq!(mbarrier.expect_bytes(i64::from(MOST)), Ok(false));
        assert_eq!(mbarrier.expect_bytes(1), Err(MbarrierMisuse::TooManyBytes { bytes: 1 << 20 }));
        assert!(Mbarriers::default().init(0, 1 << 20, MAKER).is_err());
        let last = mbarrier.arrive(2, Arrive::NoComplete, (0, 0));
        assert_eq!(last, Ok(false), "bytes are still lacking");
    }

    #[test]
    fn whoever_drops_is_not_expected_again() {
        let mut mbarrier = mbarrier(3);
        assert_eq!(mbarrier.arrive(1, Arrive::Drop, (0, 0)), Ok(false));
        assert_eq!(arrive(&mut mbarrier, 2), Ok(true));
        assert!(mbarrier.passes(0));
        assert_eq!(arrive(&mut mbarrier, 2), Ok(true));
        assert!(mbarrier.passes(1));
        assert_eq!(mbarrier.arrive(2, Arrive::NoComplete, (0, 0)), Err(MbarrierMisuse::Completes { phase: 2 }));
    }

    #[test]
    fn a_phase_does_not_end_before_somebody_knows_of_the_one_before() {
        let mut mbarrier = mbarrier(2);
        assert_eq!(arrive(&mut mbarrier, 2), Ok(true));
        // Whoever knows of it by other means may arrive already.
        assert_eq!(arrive(&mut mbarrier, 1), Ok(false));
        assert_eq!(arrive(&mut mbarrier, 1), Err(MbarrierMisuse::Unobserved { phase: 0 }));
    }

    #[test]
    fn a_state_is_of_this_phase_or_the_one_before() {
        let mut mbarrier = mbarrier(1);
        let first = mbarrier.state();
        assert_eq!(first, 1);
        assert_eq!(mbarrier.passes_state(first), Ok(false));
        arrive(&mut mbarrier, 1).unwrap();
        assert_eq!(mbarrier.passes_state(first), Ok(true));
        arrive(&mut mbarrier, 1).unwrap();
        assert_eq!(mbarrier.passes_state(first), Err(MbarrierMisuse::StaleState { state: 0, phase: 2 }));
    }

    #[test]
    fn copies_that_have_not_come_are_not_done() {
        let mut mbarrier = mbarrier(1);
        let phase = mbarrier.start_copy((3, 7));
        assert_eq!((phase, mbarrier.phases_copied()), (0, 0));
        // Nobody expected the bytes: the phase is complete before they come.
        assert_eq!(arrive(&mut mbarrier, 1), Ok(true));
        assert_eq!((mbarrier.phases_copied(), mbarrier.unobserved_copy()), (0, Some((3, 7))));
        assert_eq!(mbarrier.end_copy(phase, 16), Ok(false));
        assert_eq!(mbarrier.phases_copied(), 1);
        assert!(mbarrier.passes(0));
        assert_eq!(mbarrier.unobserved_copy(), None);
    }

    #[test]
    fn an_mbarrier_in_use_stays_one() {
        let mut all = Mbarriers::default();
        all.init(16, 2, MAKER).unwrap();
        assert!(all.touching(20, 1).is_some() && all.touching(8, 8).is_none() && all.touching(12, 8).is_some());
        assert_eq!(all.invalidate(8), Err(MbarrierMisuse::NotInitialised));
        arrive(all.find(16).unwrap(), 1).unwrap();
        assert_eq!(all.invalidate(16), Err(MbarrierMisuse::InUse { pending: 1, expected: 2, bytes: 0 }));
        arrive(all.find(16).unwrap(), 1).unwrap();
        assert_eq!(all.invalidate(16), Ok(()));
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut mbarrier = mbarrier(2);
        let place = |warp: u32, pc: u32| format!("warp {warp} at line {pc}");
        assert_eq!(mbarrier.missing(place), "phase 0 lacks 2 of 2 arrivals; nobody ever arrived");
        mbarrier.arrive(1, Arrive::Stay, (1, 10)).unwrap();
        mbarrier.arrive(1, Arrive::Stay, (2, 20)).unwrap();
        assert!(mbarrier.passes(0));
        mbarrier.arrive(1, Arrive::Stay, (1, 10)).unwrap();
        mbarrier.expect_bytes(4096).unwrap();
        assert_eq!(
            mbarrier.missing(place),
            "phase 1 lacks 1 of 2 arrivals and 4096 bytes; arrived: warp 1 at line 10; in the phase before: warp 1 at \
             line 10, warp 2 at line 20"
        );
    }
}
