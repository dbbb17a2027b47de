//! Which schedule the kernels of a strategy have on a GPU with several, and what kept it from a faster one.

use serde::Serialize;
use sparsym::ir::{Bound, Findings};
use sparsym::kernel::{self, Request, Room, RoomRequest, Scale, Schedule, Sequences, Target};

/// The only target with more than one schedule.
pub(super) const TARGET: &str = "sm_90a";

/// The schedule of a room's kernel.
#[derive(Serialize)]
pub(super) struct Scheduled {
    room: &'static str,
    /// None: there is no such kernel.
    schedule: Option<&'static str>,
    /// Why it is not a faster one, or why there is none.
    reason: Option<String>,
}

impl Scheduled {
    /// Of bf16 kernels at the sizes of the problem.
    pub(super) fn all(bound: &Bound<'_>) -> Vec<Scheduled> {
        let target = Target::parse(TARGET).expect("a target that there is");
        let of = |room: Room| {
            let mut request = Request::new(bound.strategy, room, target);
            request.head_dim = bound.problem.head_dim;
            if let RoomRequest::Attention(of) = &mut request.room {
                of.blocks = bound.problem.blocks;
                of.scale = Scale::of(bound.problem.scale, request.dtype);
                of.sequences = if bound.problem.ragged.is_some() { Sequences::Ragged } else { Sequences::Uniform };
            }
            Scheduled::of(&request)
        };
        [Room::Attention, Room::GemmQ, Room::GemmO].map(of).into()
    }

    fn of(request: &Request<'_>) -> Scheduled {
        let room = request.room.room().name();
        let found = kernel::plan(request).and_then(|plan| Ok((plan.schedule(), kernel::passed_over(request)?)));
        match found {
            Ok((schedule, passed_over)) => {
                let reason = passed_over.first().map(|(faster, why)| format!("not {}: {why}", faster.name()));
                Scheduled { room, schedule: schedule.map(Schedule::name), reason }
            }
            Err(findings) => Scheduled { room, schedule: None, reason: Some(Findings::to_string(&findings)) },
        }
    }
}

impl std::fmt::Display for Scheduled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Scheduled { room, schedule, reason } = self;
        write!(f, "{room:<22}{}", schedule.unwrap_or("no kernel"))?;
        match reason {
            Some(reason) => write!(f, "; {}", reason.replace('\n', "\n    ")),
            None => Ok(()),
        }
    }
}
