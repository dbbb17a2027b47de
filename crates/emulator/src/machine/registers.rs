//! The registers of a CTA: warpgroups give some back and take them again, with setmaxnreg.
//!
//! A launch gives every thread the same number. What a warpgroup gives back goes to a pool of the CTA; taking waits until
//! the pool has enough, and only other warps can fill it.

use super::lanes::WARP;
use crate::trap::Fault;

/// Warps of a warpgroup.
pub(crate) const WARPGROUP: usize = 4;

/// Which way registers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Take,
    Give,
}

/// What a warp asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) direction: Direction,
    /// Registers of a thread afterwards.
    pub(crate) count: u32,
    pub(crate) pc: u32,
}

/// The registers of a CTA.
#[derive(Debug)]
pub(crate) struct RegisterPool {
    /// Registers of a thread of each warp; None: the launch does not say.
    of_warp: Option<Vec<u32>>,
    /// Registers that no warp has.
    free: u32,
    /// What each warpgroup changed, in order.
    changes: Vec<Vec<Change>>,
    /// How many of them each warp has made.
    made: Vec<usize>,
    /// Warps that have asked, the first first.
    asking: Vec<(u32, Change)>,
}

impl RegisterPool {
    /// Registers of that many warps, all alike.
    pub(crate) fn new(of_thread: Option<u32>, warps: usize) -> RegisterPool {
        RegisterPool {
            of_warp: of_thread.map(|count| vec![count.min(256).next_multiple_of(8); warps]),
            free: 0,
            changes: vec![Vec::new(); warps.div_ceil(WARPGROUP)],
            made: vec![0; warps],
            asking: Vec::new(),
        }
    }

    /// A warp asks for a change.
    ///
    /// # Errors
    /// What PTX does not allow about it.
    pub(crate) fn ask(&mut self, warp: u32, change: Change) -> Result<(), Box<Fault>> {
        let at = warp as usize;
        let misuse = |reason: String| Err(Box::new(Fault::RegisterMisuse { reason }));
        let Some(of_warp) = &self.of_warp else {
            return misuse(
                "nobody says how many registers a thread starts with, so ptxas ignores it; give the kernel .maxntid"
                    .to_owned(),
            );
        };
        if at / WARPGROUP * WARPGROUP + WARPGROUP > self.made.len() {
            return misuse(format!("warp {warp} is in no whole warpgroup: four warps of the CTA in a row"));
        }
        let (has, wants) = (of_warp[at], change.count);
        match change.direction {
            Direction::Give if wants > has => {
                return misuse(format!("dec to {wants} registers of a thread, and it has {has}"));
            }
            Direction::Take if wants < has => {
                return misuse(format!("inc to {wants} registers of a thread, and it has {has}"));
            }
            _ => {}
        }
        let changes = &mut self.changes[at / WARPGROUP];
        match changes.get(self.made[at]) {
            Some(other) if (other.direction, other.count) != (change.direction, wants) => {
                return misuse(format!(
                    "warp {warp} wants {wants} registers of a thread where another warp of its warpgroup wanted {}",
                    other.count
                ));
            }
            Some(_) => {}
            None => changes.push(change),
        }
        self.made[at] += 1;
        self.asking.push((warp, change));
        Ok(())
    }

    /// Gives the warps that have asked what there is: those that can go on.
    pub(crate) fn serve(&mut self) -> Vec<u32> {
        let mut served = Vec::new();
        let Some(of_warp) = &mut self.of_warp else { return served };
        // What one gives back may be what another waits for.
        while let Some(at) = self
            .asking
            .iter()
            .position(|(warp, change)| WARP as u32 * change.count.saturating_sub(of_warp[*warp as usize]) <= self.free)
        {
            let (warp, change) = self.asking.remove(at);
            let has = &mut of_warp[warp as usize];
            self.free = self.free + WARP as u32 * *has - WARP as u32 * change.count;
            *has = change.count;
            served.push(warp);
        }
        served
    }

    /// What a warp waits for, in words.
    pub(crate) fn missing(&self, warp: u32) -> String {
        let has = self.of_warp.as_ref().map_or(0, |of_warp| of_warp[warp as usize]);
        let wants = self.asking.iter().find(|(asking, _)| *asking == warp).map_or(has, |(_, change)| change.count);
        let total: u32 = self.free + self.of_warp.iter().flatten().map(|count| WARP as u32 * count).sum::<u32>();
        format!(
            "{} registers more, {wants} instead of {has} for each thread: {} of the CTA's {total} are free, warps hold the rest",
            WARP as u32 * (wants - has),
            self.free
        )
    }

    /// A warp that ended without a change that another warp of its warpgroup made, and where that one stands.
    pub(crate) fn left_alone(&self) -> Option<(u32, Box<Fault>, u32)> {
        let short = |warp: &usize| self.made[*warp] < self.changes[warp / WARPGROUP].len();
        let warp = (0..self.made.len()).find(short)?;
        let reason = format!("warp {warp} never executes it, and another warp of its warpgroup does");
        let change = self.changes[warp / WARPGROUP][self.made[warp]];
        Some((warp as u32, Box::new(Fault::RegisterMisuse { reason }), change.pc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(direction: Direction, count: u32) -> Change {
        Change { direction, count, pc: 7 }
    }

    #[test]
    fn a_warpgroup_takes_what_another_gave_back() {
        let mut pool = RegisterPool::new(Some(168), 12);
        let (give, take) = (change(Direction::Give, 40), change(Direction::Take, 232));
        for warp in 4..12 {
            pool.ask(warp, take).unwrap();
            assert!(pool.serve().is_empty());
        }
        assert!(pool.missing(4).contains("2048 registers more, 232 instead of 168"), "{}", pool.missing(4));
        for (warp, served) in [(0, vec![0, 4, 5]), (1, vec![1, 6, 7]), (2, vec![2, 8, 9]), (3, vec![3, 10, 11])] {
            pool.ask(warp, give).unwrap();
            assert_eq!(pool.serve(), served);
        }
        assert_eq!((pool.free, pool.left_alone()), (0, None));
    }

    #[test]
    fn changes_that_ptx_forbids_are_refused() {
        let reason = |pool: &mut RegisterPool, warp, change| match *pool.ask(warp, change).unwrap_err() {
            Fault::RegisterMisuse { reason } => reason,
            other => panic!("{other}"),
        };
        let mut pool = RegisterPool::new(Some(128), 6);
        assert!(reason(&mut pool, 0, change(Direction::Give, 136)).contains("has 128"));
        assert!(reason(&mut pool, 0, change(Direction::Take, 120)).contains("has 128"));
        assert!(reason(&mut pool, 5, change(Direction::Give, 40)).contains("no whole warpgroup"));
        pool.ask(0, change(Direction::Give, 40)).unwrap();
        assert!(reason(&mut pool, 1, change(Direction::Give, 48)).contains("wanted 40"));
        let (warp, _, pc) = pool.left_alone().unwrap();
        assert_eq!((warp, pc), (1, 7));
        let mut pool = RegisterPool::new(None, 4);
        assert!(reason(&mut pool, 0, change(Direction::Give, 40)).contains(".maxntid"));
    }
}
