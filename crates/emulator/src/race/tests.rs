//! What is a race, and what orders two accesses.

use super::*;

const EVERYBODY: u32 = u32::MAX;

fn actor(warp: u32, lane: u32) -> Actor {
    Actor { warp, lane, pc: 10 * warp + lane }
}

fn races() -> Races {
    let mut races = Races::new(64, 2);
    for warp in 0..2 {
        races.clocks().start(warp, EVERYBODY);
    }
    races
}

fn barrier(races: &mut Races) {
    let mut all = Contribution::default();
    for warp in 0..2 {
        races.clocks().contribute(warp, EVERYBODY, &mut all);
    }
    for warp in 0..2 {
        races.clocks().receive(warp, EVERYBODY, &all);
    }
}

#[test]
fn a_barrier_orders_two_warps() {
    let mut races = races();
    races.write(actor(0, 3), 8, 4).unwrap();
    let conflict = races.read(actor(1, 0), 8, 4).unwrap_err();
    assert_eq!((conflict.how, conflict.by, conflict.granule), (Earlier::Write, actor(0, 3), 2));
    barrier(&mut races);
    races.read(actor(1, 0), 8, 4).unwrap();
    let conflict = races.write(actor(0, 3), 8, 4).unwrap_err();
    assert_eq!((conflict.how, conflict.by), (Earlier::Read, actor(1, 0)));
    barrier(&mut races);
    races.write(actor(0, 3), 8, 4).unwrap();
}

#[test]
fn neighbouring_bytes_do_not_meet() {
    let mut races = races();
    races.write(actor(0, 0), 8, 2).unwrap();
    races.write(actor(1, 0), 10, 2).unwrap();
    races.read(actor(1, 0), 10, 1).unwrap();
    assert!(races.read(actor(0, 0), 8, 4).is_err());
}

#[test]
fn lanes_of_a_warp_are_threads_of_their_own() {
    let mut races = races();
    races.write(actor(0, 3), 8, 4).unwrap();
    races.read(actor(0, 3), 8, 4).unwrap();
    assert!(races.read(actor(0, 4), 8, 4).is_err());
    // A warp barrier of lanes 3 and 4 orders these two only.
    races.clocks().synchronise(0, 0b1_1000);
    races.read(actor(0, 4), 8, 4).unwrap();
    assert!(races.read(actor(0, 5), 8, 4).is_err());
    races.clocks().synchronise(0, EVERYBODY);
    races.read(actor(0, 5), 8, 4).unwrap();
    assert!(races.read(actor(1, 5), 8, 4).is_err());
}

#[test]
fn a_copy_is_known_after_its_wait_and_to_others_after_a_barrier() {
    let mut races = races();
    races.copy(actor(0, 1), 16, 16, 1).unwrap();
    assert_eq!(races.read(actor(0, 1), 16, 4).unwrap_err().how, Earlier::CopyInFlight);
    races.clocks().retire_copies(0, EVERYBODY, 1);
    races.read(actor(0, 1), 16, 4).unwrap();
    assert_eq!(races.read(actor(0, 2), 16, 4).unwrap_err().how, Earlier::Copy);
    assert_eq!(races.read(actor(1, 1), 16, 4).unwrap_err().how, Earlier::Copy);
    barrier(&mut races);
    races.read(actor(1, 1), 16, 4).unwrap();
}

#[test]
fn a_barrier_does_not_publish_a_copy_that_nobody_waited_for() {
    let mut races = races();
    races.copy(actor(0, 1), 16, 16, 1).unwrap();
    barrier(&mut races);
    assert_eq!(races.read(actor(1, 1), 16, 4).unwrap_err().how, Earlier::CopyInFlight);
}

#[test]
fn a_wait_of_one_lane_is_its_own() {
    let mut races = races();
    races.copy(actor(0, 0), 0, 4, 1).unwrap();
    races.copy(actor(0, 1), 4, 4, 1).unwrap();
    races.clocks().retire_copies(0, 0b01, 1);
    barrier(&mut races);
    races.read(actor(1, 0), 0, 4).unwrap();
    assert!(races.read(actor(1, 0), 4, 4).is_err());
}

#[test]
fn reads_of_several_lanes_must_all_be_known_before_a_write() {
    let mut races = races();
    races.read(actor(0, 0), 0, 4).unwrap();
    races.read(actor(0, 1), 0, 4).unwrap();
    assert!(races.write(actor(0, 1), 0, 4).is_err());
    races.clocks().synchronise(0, EVERYBODY);
    races.write(actor(0, 1), 0, 4).unwrap();
}

#[test]
fn atomics_race_with_plain_accesses_only() {
    let mut races = races();
    races.atomic(actor(0, 0), 0, 4).unwrap();
    races.atomic(actor(1, 0), 0, 4).unwrap();
    assert_eq!(races.read(actor(0, 0), 0, 4).unwrap_err().how, Earlier::Atomic);
}

const LINE: [usize; 1] = [16];

fn conflict(result: Result<(), Obstacle>) -> Earlier {
    match result {
        Err(Obstacle::Conflict(conflict)) => conflict.how,
        other => panic!("{other:?}"),
    }
}

/// What lanes of a warp tell an mbarrier.
fn told(races: &mut Races, warp: usize, lanes: u32) -> Contribution {
    let mut told = Contribution::default();
    races.clocks().contribute(warp, lanes, &mut told);
    told
}

#[test]
fn a_bulk_copy_is_known_to_those_who_waited_for_its_phase() {
    let mut races = races();
    races.async_write(0, actor(0, 0), LINE, 1).unwrap();
    let found = races.read(actor(0, 0), 16, 4).unwrap_err();
    assert_eq!((found.how, found.by), (Earlier::BulkWrite, Actor { lane: ALL_LANES, ..actor(0, 0) }));
    barrier(&mut races);
    assert_eq!(races.read(actor(1, 3), 16, 4).unwrap_err().how, Earlier::BulkWrite);
    let mut done = Contribution::default();
    races.clocks().contribute_phase(0, 1, &mut done);
    races.clocks().receive(1, 1 << 3, &done);
    races.read(actor(1, 3), 16, 4).unwrap();
    assert!(races.read(actor(1, 4), 16, 4).is_err());
    races.clocks().receive(1, EVERYBODY, &done);
    races.read(actor(1, 4), 16, 4).unwrap();
    // The next phase is another one.
    let mut freed = told(&mut races, 1, EVERYBODY);
    races.clocks().contribute_phase(0, 1, &mut freed);
    races.clocks().receive(0, 1, &freed);
    races.async_write(0, actor(0, 0), LINE, 2).unwrap();
    assert_eq!(races.read(actor(1, 4), 16, 4).unwrap_err().how, Earlier::BulkWrite);
}

#[test]
fn a_stage_is_free_when_all_its_readers_have_told() {
    let mut races = races();
    for lane in 0..32 {
        races.read(actor(1, lane), 16, 4).unwrap();
    }
    // Lane 0 arrives for its warp, which has not met.
    let empty = told(&mut races, 1, 1);
    races.clocks().receive(0, 1, &empty);
    assert_eq!(conflict(races.async_write(0, actor(0, 0), LINE, 1)), Earlier::Read);
    races.clocks().synchronise(1, EVERYBODY);
    let empty = told(&mut races, 1, 1);
    races.clocks().receive(0, 1, &empty);
    races.async_write(0, actor(0, 0), LINE, 1).unwrap();
    // Lane 1 was not told.
    assert!(races.write(actor(0, 1), 16, 4).is_err());
}

#[test]
fn what_a_lane_was_told_it_passes_on() {
    let mut races = Races::new(64, 3);
    for warp in 0..3 {
        races.clocks().start(warp, EVERYBODY);
    }
    races.write(actor(1, 5), 16, 4).unwrap();
    let first = told(&mut races, 1, 1 << 5);
    races.clocks().receive(0, 1 << 7, &first);
    let other = told(&mut races, 0, 1 << 8);
    let second = told(&mut races, 0, 1 << 7);
    races.clocks().receive(2, EVERYBODY, &other);
    assert!(races.read(actor(2, 0), 16, 4).is_err());
    races.clocks().receive(2, EVERYBODY, &second);
    races.read(actor(2, 0), 16, 4).unwrap();
}

#[test]
fn the_asynchronous_proxy_sees_what_passed_a_fence_on_the_way() {
    for (fence_before, fence_after) in [(false, false), (false, true), (true, false)] {
        let mut races = races();
        races.write(actor(1, 2), 16, 4).unwrap();
        if fence_before {
            races.clocks().fence(1, EVERYBODY);
        }
        barrier(&mut races);
        if fence_after {
            races.clocks().fence(0, EVERYBODY);
        }
        let read = races.async_read(Agent::Bulk(0), &[actor(0, 0)], LINE, 1);
        if fence_before || fence_after {
            read.unwrap();
        } else {
            assert_eq!(conflict(read), Earlier::Unfenced);
        }
        // Nobody told the warp that wrote of the other's fence.
        let write = races.async_write(0, actor(1, 0), LINE, 1);
        assert_eq!(conflict(write), if fence_before { Earlier::BulkRead } else { Earlier::Unfenced });
    }
}

#[test]
fn a_fence_covers_what_its_thread_was_told_of_and_is_told_to_others() {
    let mut races = races();
    races.write(actor(1, 2), 16, 4).unwrap();
    // One lane learns of it and fences; what the others know has passed none.
    let mut told = Contribution::default();
    races.clocks().contribute(1, EVERYBODY, &mut told);
    races.clocks().receive(0, 0b10, &told);
    races.clocks().fence(0, 0b10);
    races.async_read(Agent::Bulk(0), &[actor(0, 1)], LINE, 1).unwrap();
    races.clocks().receive(0, EVERYBODY, &told);
    assert_eq!(conflict(races.async_read(Agent::Bulk(0), &[actor(0, 3)], LINE, 1)), Earlier::Unfenced);
    // A fence before the news covers nothing of it.
    races.write(actor(1, 2), 32, 4).unwrap();
    races.clocks().fence(0, EVERYBODY);
    barrier(&mut races);
    assert_eq!(conflict(races.async_read(Agent::Bulk(0), &[actor(0, 1)], [32], 2)), Earlier::Unfenced);
    races.clocks().fence(0, EVERYBODY);
    barrier(&mut races);
    races.async_read(Agent::Bulk(1), &[actor(1, 2)], [32], 1).unwrap();
}

#[test]
fn a_write_after_the_fence_is_not_covered_by_it() {
    let mut races = races();
    races.clocks().fence(0, EVERYBODY);
    races.write(actor(0, 0), 16, 4).unwrap();
    assert_eq!(conflict(races.async_read(Agent::Bulk(0), &[actor(0, 0)], LINE, 1)), Earlier::Unfenced);
    races.clocks().fence(0, 1);
    races.async_read(Agent::Bulk(0), &[actor(0, 0)], LINE, 1).unwrap();
}

#[test]
fn copies_are_of_the_generic_proxy() {
    let mut races = races();
    races.copy(actor(0, 1), 16, 16, 1).unwrap();
    // A fence before the wait covers nothing.
    races.clocks().fence(0, EVERYBODY);
    races.clocks().retire_copies(0, EVERYBODY, 1);
    assert_eq!(conflict(races.async_read(Agent::Bulk(0), &[actor(0, 1)], LINE, 1)), Earlier::Unfenced);
    races.clocks().fence(0, EVERYBODY);
    races.async_read(Agent::Bulk(0), &[actor(0, 1)], LINE, 1).unwrap();
}

#[test]
fn a_source_is_free_when_its_group_was_waited_for() {
    let mut races = races();
    races.async_read(Agent::Bulk(0), &[actor(0, 0)], LINE, 1).unwrap();
    assert_eq!(races.write(actor(0, 0), 16, 4).unwrap_err().how, Earlier::BulkRead);
    races.clocks().retire_bulk(0, 1, 1);
    races.write(actor(0, 0), 16, 4).unwrap();
    assert!(races.write(actor(1, 0), 16, 4).is_err());
    barrier(&mut races);
    races.write(actor(1, 0), 16, 4).unwrap();
}

#[test]
fn operands_of_wgmma_are_free_when_all_warps_that_wait_have_told() {
    let mut races = Races::new(64, 5);
    (0..5).for_each(|warp| races.clocks().start(warp, EVERYBODY));
    races.async_write(0, actor(4, 0), LINE, 1).unwrap();
    let mut full = Contribution::default();
    races.clocks().contribute_phase(0, 1, &mut full);
    (0..3).for_each(|warp| races.clocks().receive(warp, EVERYBODY, &full));
    // One warp of the four has not waited for the operand.
    let issue = |races: &mut Races| races.async_read(Agent::Matrix(0), &warpgroup(0, 77), LINE, 1);
    assert_eq!(conflict(issue(&mut races)), Earlier::BulkWrite);
    races.clocks().receive(3, EVERYBODY, &full);
    issue(&mut races).unwrap();
    // A warp that released the stage before its wait told nothing of the group.
    let early = told(&mut races, 0, 1);
    races.clocks().retire_matrix(0, 1);
    let late = told(&mut races, 0, 1);
    races.clocks().receive(4, 1, &early);
    let found = races.async_write(0, actor(4, 0), LINE, 2);
    assert_eq!(conflict(found), Earlier::MatrixRead);
    races.clocks().receive(4, 1, &late);
    races.async_write(0, actor(4, 0), LINE, 2).unwrap();
}

#[test]
fn more_agents_than_a_note_can_name_are_refused() {
    let mut races = races();
    let fits = (0..2000).take_while(|&at| races.async_write(8 * at, actor(0, 0), [], 1).is_ok()).count();
    assert_eq!(fits, 1023 - 4);
    assert_eq!(races.async_write(80_000, actor(0, 0), [], 1), Err(Obstacle::TooManyAgents));
}
