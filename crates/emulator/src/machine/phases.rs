//! What instructions do to mbarriers, and what threads learn from them.

use super::context::Effect;
use super::lanes::lanes_of;
use super::mbarrier::{Arrive, Maker};
use super::transfers::{Transfer, What};
use crate::decode::Instruction;
use crate::memory::{Access, Space};
use crate::misuse::MbarrierMisuse;
use crate::race::{Actor, Contribution, Obstacle};
use crate::trap::Fault;

/// What an instruction says of an mbarrier, beside its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Says {
    /// How its address is meant.
    pub(crate) address: AddressOf,
    /// Whether memory is ordered.
    pub(crate) order: Order,
}

/// How the address of an mbarrier is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressOf {
    /// As one of shared memory.
    Shared,
    /// As a generic one.
    Generic,
}

/// Whether an operation on an mbarrier orders memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// An arrival tells what its thread knows, a wait learns it.
    Ordered,
    /// `.relaxed`: neither, unless a fence does.
    Relaxed,
}

/// What the last operand of an arrival says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brings {
    /// There is none: one arrival.
    One,
    /// How many arrivals.
    Arrivals,
    /// How many bytes the phase lacks from then on; one arrival.
    Bytes,
}

impl Says {
    /// As a number for [`Instruction::note`].
    pub(crate) fn note(self) -> u32 {
        u32::from(self.address == AddressOf::Generic) | u32::from(self.order == Order::Relaxed) << 1
    }

    /// From the instruction's note.
    pub(crate) fn of(ins: &Instruction) -> Says {
        Says {
            address: if ins.note & 1 == 1 { AddressOf::Generic } else { AddressOf::Shared },
            order: if ins.note >> 1 & 1 == 1 { Order::Relaxed } else { Order::Ordered },
        }
    }
}

impl Effect<'_> {
    /// The mbarrier of a lane, if there is one that it may use: its place in shared memory.
    pub(crate) fn mbarrier_at(&mut self, lane: usize, address: u64, says: Says) -> Result<u32, Box<Fault>> {
        let offset = self.mbarrier_place(lane, address, says)?;
        self.expect_mbarrier(lane, offset)?;
        Ok(offset)
    }

    /// Whether there is an mbarrier at a place that a lane may use.
    pub(crate) fn expect_mbarrier(&mut self, lane: usize, offset: u32) -> Result<(), Box<Fault>> {
        let Some(mbarrier) = self.shared.mbarriers.find(offset) else {
            return Err(self.misuse(lane, offset, MbarrierMisuse::NotInitialised));
        };
        let Maker { warp, lane: maker, clock, pc } = mbarrier.maker;
        let me = Actor { warp: self.warp.agent, lane: lane as u32, pc: self.pc };
        let ordered = match &mut self.shared.races {
            Some(races) => races.clocks().is_after(me, Actor { warp, lane: maker, pc }, clock),
            None => true,
        };
        if ordered {
            return Ok(());
        }
        let at = Box::new(self.launch.code.place(pc));
        Err(self.misuse(lane, offset, MbarrierMisuse::InitialisedUnordered { at }))
    }

    pub(crate) fn mbarrier_place(&self, lane: usize, address: u64, says: Says) -> Result<u32, Box<Fault>> {
        let address = match says.address {
            AddressOf::Shared => address,
            AddressOf::Generic => match Space::of_generic(address) {
                (Space::Shared, address) => address,
                _ => return Err(Box::new(Fault::Unsupported { what: "an mbarrier outside of shared memory" })),
            },
        };
        self.shared_offset(Access::Mbarrier, lane, address, 8).map(|offset| offset as u32)
    }

    /// The executing lanes, those with one mbarrier together: its place, and they.
    fn by_mbarrier(&mut self, ins: &Instruction) -> Result<Vec<(u32, u32)>, Box<Fault>> {
        let (addresses, says) = (self.addresses(ins.addresses[0]), Says::of(ins));
        let mut out: Vec<(u32, u32)> = Vec::new();
        for lane in self.executing() {
            let offset = self.mbarrier_at(lane, addresses[lane], says)?;
            match out.iter_mut().find(|(known, _)| *known == offset) {
                Some((_, lanes)) => *lanes |= 1 << lane,
                None => out.push((offset, 1 << lane)),
            }
        }
        Ok(out)
    }

    /// `mbarrier.init`: the count is the first row.
    pub(crate) fn init_mbarrier(&mut self, ins: &Instruction) -> Result<(), Box<Fault>> {
        let (addresses, says) = (self.addresses(ins.addresses[0]), Says::of(ins));
        for lane in self.executing() {
            let offset = self.mbarrier_place(lane, addresses[lane], says)?;
            if let Some(known) = self.shared.mbarriers.touching(offset, 8) {
                let at = Box::new(self.launch.code.place(known.maker.pc));
                return Err(self.misuse(lane, offset, MbarrierMisuse::InitialisedTwice { at }));
            }
            let me = Actor { warp: self.warp.agent, lane: lane as u32, pc: self.pc };
            let clock = match self.shared.races.as_mut().map(|races| races.make_object(me, offset as usize, 8)) {
                None => 0,
                Some(Ok(clock)) => clock,
                Some(Err(obstacle)) => return Err(self.obstacle(Access::Store, lane, offset, obstacle)),
            };
            self.shared.spoil(offset as usize, 8);
            let maker = Maker { warp: me.warp, lane: me.lane, clock, pc: self.pc };
            let count = self.words(ins, 0)[lane];
            let made = self.shared.mbarriers.init(offset, count, maker);
            made.map_err(|misuse| self.misuse(lane, offset, misuse))?;
        }
        Ok(())
    }

    /// `mbarrier.inval`.
    pub(crate) fn invalidate_mbarrier(&mut self, ins: &Instruction) -> Result<(), Box<Fault>> {
        for (offset, lanes) in self.by_mbarrier(ins)? {
            for lane in lanes_of(lanes) {
                let gone = self.shared.mbarriers.invalidate(offset);
                gone.map_err(|misuse| self.misuse(lane, offset, misuse))?;
                let me = Actor { warp: self.warp.agent, lane: lane as u32, pc: self.pc };
                if let Some(races) = &mut self.shared.races {
                    races.end_object(me, offset as usize, 8);
                }
            }
        }
        Ok(())
    }

    /// Arrivals of the executing lanes; those at one mbarrier tell it together what they know. The state goes to the first
    /// row, what the lanes bring is in the second.
    pub(crate) fn arrive(&mut self, ins: &Instruction, how: Arrive, brings: Brings) -> Result<(), Box<Fault>> {
        let by = (self.warp.agent, self.pc);
        for (offset, lanes) in self.by_mbarrier(ins)? {
            for lane in lanes_of(lanes) {
                let (count, bytes) = match brings {
                    Brings::One => (1, 0),
                    Brings::Arrivals => (self.words(ins, 1)[lane], 0),
                    Brings::Bytes => (1, self.words(ins, 1)[lane]),
                };
                let Some(mbarrier) = self.shared.mbarriers.find(offset) else { continue };
                if lane == lanes.trailing_zeros() as usize
                    && let Some(races) = &mut self.shared.races
                {
                    match Says::of(ins).order {
                        Order::Relaxed => self.warp.fences.tell(lanes, &mut mbarrier.arriving),
                        Order::Ordered => {
                            races.clocks().contribute(self.warp.agent as usize, lanes, &mut mbarrier.arriving);
                        }
                    }
                }
                let state = mbarrier.state();
                let arrived = mbarrier.expect_bytes(i64::from(bytes)).and_then(|_| mbarrier.arrive(count, how, by));
                let completes = arrived.map_err(|misuse| self.misuse(lane, offset, misuse))?;
                self.set_lane(ins, 0, lane, state);
                self.complete_phase(offset, completes);
            }
        }
        Ok(())
    }

    /// `mbarrier.expect_tx` and `mbarrier.complete_tx`: the executing lanes expect bytes, or say that they came.
    pub(crate) fn count_bytes(&mut self, ins: &Instruction, sign: i64) -> Result<(), Box<Fault>> {
        for (offset, lanes) in self.by_mbarrier(ins)? {
            for lane in lanes_of(lanes) {
                let bytes = sign * i64::from(self.words(ins, 0)[lane]);
                let Some(mbarrier) = self.shared.mbarriers.find(offset) else { continue };
                let completes = mbarrier.expect_bytes(bytes).map_err(|misuse| self.misuse(lane, offset, misuse))?;
                self.complete_phase(offset, completes);
            }
        }
        Ok(())
    }

    /// `cp.async.mbarrier.arrive`: the executing lanes arrive when their `cp.async` so far are complete. Without `.noinc`
    /// the phase lacks these arrivals more.
    pub(crate) fn arrive_after_copies(&mut self, ins: &Instruction, more: u32) -> Result<(), Box<Fault>> {
        let by = (self.warp.agent, self.pc);
        for (mbarrier, lanes) in self.by_mbarrier(ins)? {
            let mut told = Contribution::default();
            for lane in lanes_of(lanes) {
                let group = self.warp.copies.promise(lane);
                if let Some(races) = &mut self.shared.races {
                    races.clocks().contribute_copies(self.warp.agent as usize, 1 << lane, group, &mut told);
                }
            }
            if let Some(races) = &mut self.shared.races {
                races.clocks().contribute(self.warp.agent as usize, lanes, &mut told);
            }
            let Some(object) = self.shared.mbarriers.find(mbarrier) else { continue };
            let phase = object.start_copy(by);
            let expected = (0..more * lanes.count_ones()).try_for_each(|_| object.expect_arrival());
            expected.map_err(|misuse| self.misuse(lanes.trailing_zeros() as usize, mbarrier, misuse))?;
            self.start(Transfer { warp: by.0, lanes, pc: by.1, what: What::Arrival { mbarrier, phase, told } })?;
        }
        Ok(())
    }

    /// Carries out such an arrival.
    pub(crate) fn finish_arrival(&mut self, mbarrier: u32, phase: u32, told: &Contribution) -> Result<(), Box<Fault>> {
        let (lanes, by) = (self.lanes.mask(), (self.warp.agent, self.pc));
        self.complete_promised_copies(lanes)?;
        let Some(object) = self.shared.mbarriers.find(mbarrier) else { return Ok(()) };
        object.arriving.join(told);
        let arrived = object.end_copy(phase, 0).and_then(|_| object.arrive(lanes.count_ones(), Arrive::Stay, by));
        let completes = arrived.map_err(|misuse| self.misuse(lanes.trailing_zeros() as usize, mbarrier, misuse))?;
        self.complete_phase(mbarrier, completes);
        Ok(())
    }

    /// What is to be done if an mbarrier has completed a phase.
    pub(crate) fn complete_phase(&mut self, offset: u32, completes: bool) {
        if !completes {
            return;
        }
        if let (Some(races), Some(mbarrier)) = (&mut self.shared.races, self.shared.mbarriers.find(offset)) {
            let clock = mbarrier.clock_copied();
            races.clocks().contribute_phase(offset, clock, &mut mbarrier.done);
        }
        self.shared.mbarriers.complete(offset);
    }

    /// The executing lanes whose wait is over. They learn what those know who arrived.
    pub(crate) fn pass_mbarriers(&mut self, ins: &Instruction) -> Result<u32, Box<Fault>> {
        let says = Says::of(ins);
        let mut passed = 0;
        for (offset, lanes) in self.by_mbarrier(ins)? {
            let mut here = 0;
            for lane in lanes_of(lanes) {
                let asked = self.lane(ins, 1, lane);
                if self.shared.rank_of(offset as usize) != self.shared.rank() {
                    return Err(self.misuse(lane, offset, MbarrierMisuse::Remote));
                }
                let Some(mbarrier) = self.shared.mbarriers.find(offset) else { continue };
                // A parity is a word, a state is not.
                let passes = match ins.wides >> 1 & 1 {
                    0 => Ok(mbarrier.passes(asked as u32)),
                    _ => mbarrier.passes_state(asked),
                };
                here |= u32::from(passes.map_err(|misuse| self.misuse(lane, offset, misuse))?) << lane;
            }
            passed |= here;
            if here != 0
                && let (Some(races), Some(mbarrier)) = (&mut self.shared.races, self.shared.mbarriers.find(offset))
            {
                match says.order {
                    Order::Ordered => races.clocks().receive(self.warp.agent as usize, here, &mbarrier.done),
                    Order::Relaxed => self.warp.fences.hear(here, &mbarrier.done),
                }
            }
        }
        Ok(passed)
    }

    /// The mbarrier that the executing lanes wait for; None: several.
    pub(crate) fn waited_for(&mut self, ins: &Instruction) -> Option<u32> {
        match self.by_mbarrier(ins).as_deref() {
            Ok([(offset, _)]) => Some(*offset),
            _ => None,
        }
    }

    /// A fault about an mbarrier.
    #[cold]
    pub(crate) fn misuse(&self, lane: usize, offset: u32, misuse: MbarrierMisuse) -> Box<Fault> {
        let (name, offset) = self.shared.name_of(offset as usize);
        Box::new(Fault::Mbarrier { lane, name, offset, misuse })
    }

    /// What the race detector found in the way of an asynchronous access.
    #[cold]
    pub(crate) fn obstacle(&self, access: Access, lane: usize, offset: u32, obstacle: Obstacle) -> Box<Fault> {
        match obstacle {
            Obstacle::Conflict(conflict) => self.race(access, lane as u32, conflict),
            Obstacle::TooManyAgents => self.misuse(lane, offset, MbarrierMisuse::TooMany),
        }
    }
}
