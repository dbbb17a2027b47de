//! How warps, CTAs and launches behave, and what is found in kernels that are wrong.

mod support;

use ptx_emulator::{Checks, Copies, Fault, Launch, LaunchError, Memory, Options, Program, Schedule, Trap};
use support::{kernel, run, trap};

/// Stores `%r0` at the thread's place.
const STORE: &str = "mad.wide.u32 %l0, %t, 4, %out; st.global.u32 [%l0], %r0;";

/// What each thread of one CTA stores.
fn stored(body: &str, block: u32) -> Vec<u32> {
    let text = kernel(&format!("{body}\n{STORE}"));
    run(&text, "k", [1, block], &[7; 32], block as usize, &Options::default())
        .unwrap_or_else(|error| panic!("{error}"))
        .0
}

fn assert_says(trap: &Trap, name: &str, words: &[&str]) {
    assert_eq!(trap.fault.name(), name, "{trap}");
    let report = trap.to_string();
    for word in words {
        assert!(report.contains(word), "no {word:?} in\n{report}");
    }
}

#[test]
fn nested_branches_meet_again() {
    // 0 to 7: 1; 8 to 15: 2; others 3; then everybody votes, which needs the whole warp.
    let found = stored(
        "setp.lt.u32 %p0, %t, 16;
        @%p0 bra LOW;
        mov.u32 %r1, 3;
        bra MEET;
    LOW:
        setp.lt.u32 %p1, %t, 8;
        @%p1 bra LOWEST;
        mov.u32 %r1, 2;
        bra INNER;
    LOWEST:
        mov.u32 %r1, 1;
    INNER:
        activemask.b32 %r2;
    MEET:
        activemask.b32 %r3;
        add.u32 %r0, %r1, %r3;
        @%p0 add.u32 %r0, %r0, %r2;",
        32,
    );
    let wanted = |lane: u32| match lane {
        0..8 => 1u32.wrapping_add(u32::MAX).wrapping_add(0xFFFF),
        8..16 => 2u32.wrapping_add(u32::MAX).wrapping_add(0xFFFF),
        _ => 3u32.wrapping_add(u32::MAX),
    };
    assert_eq!(found, (0..32).map(wanted).collect::<Vec<_>>());
}

#[test]
fn loops_of_different_lengths_meet_behind() {
    let found = stored(
        "mov.u32 %r0, 0; mov.u32 %r1, 0;
    AGAIN:
        add.u32 %r0, %r0, %r1;
        add.u32 %r1, %r1, 1;
        setp.le.u32 %p0, %r1, %t;
        @%p0 bra AGAIN;
        activemask.b32 %r2;
        setp.eq.u32 %p1, %r2, 0xFFFFFFFF;
        @!%p1 mov.u32 %r0, 0xBAD;",
        32,
    );
    assert_eq!(found, (0..32).map(|lane| lane * (lane + 1) / 2).collect::<Vec<u32>>());
}

#[test]
fn lanes_that_ended_are_not_waited_for() {
    // An aligned barrier and a vote under the full mask, when the upper half has gone.
    let text = kernel(&format!(
        "setp.ge.u32 %p0, %t, 16;
        @%p0 exit;
        bar.sync 0;
        vote.sync.ballot.b32 %r0, 1, 0xFFFFFFFF;
        {STORE}"
    ));
    let (words, _) = run(&text, "k", [1, 32], &[], 32, &Options::default()).unwrap();
    assert_eq!(words, [[0xFFFF; 16], [0; 16]].concat());
}

#[test]
fn members_of_an_exchange_may_come_from_different_branches() {
    let found = stored(
        "and.b32 %r1, %t, 1;
        setp.eq.u32 %p0, %r1, 0;
        @%p0 bra EVEN;
        add.u32 %r2, %t, 100;
        shfl.sync.bfly.b32 %r0, %r2, 1, 31, -1;
        bra MEET;
    EVEN:
        add.u32 %r2, %t, 200;
        shfl.sync.bfly.b32 %r0, %r2, 1, 31, -1;
    MEET:",
        32,
    );
    let wanted = |lane: u32| if lane.is_multiple_of(2) { 100 + lane + 1 } else { 200 + lane - 1 };
    assert_eq!(found, (0..32).map(wanted).collect::<Vec<_>>());
}

#[test]
fn an_exchange_under_half_a_mask_does_not_wait_for_the_other_half() {
    let found = stored(
        "mov.u32 %r0, 0;
        setp.lt.u32 %p0, %t, 16;
        @!%p0 bra HIGH;
        vote.sync.ballot.b32 %r0, 1, 0x0000FFFF;
    HIGH:",
        32,
    );
    assert_eq!(found, [[0xFFFF; 16], [0; 16]].concat());
}

#[test]
fn a_warp_barrier_joins_two_branches() {
    // One branch writes shared memory, the other reads it behind the barrier.
    let found = stored(
        "mov.u32 %r0, 0;
        setp.eq.u32 %p0, %t, 0;
        @%p0 bra WRITER;
        bar.warp.sync -1;
        ld.shared.u32 %r0, [tile];
        bra MEET;
    WRITER:
        st.shared.u32 [tile], 42;
        bar.warp.sync -1;
    MEET:",
        32,
    );
    assert_eq!(found, [vec![0], vec![42; 31]].concat());
}

#[test]
fn a_missing_warp_barrier_is_a_race() {
    let trap = trap("mad.lo.u32 %r1, %t, 4, tile; st.shared.u32 [%r1], %t; ld.shared.u32 %r2, [tile];", [1, 32]);
    assert_says(
        &trap,
        "race",
        &["load at byte 0 of tile", "earlier store by warp 0, lane 0", "PTX line", "__syncwarp"],
    );
}

#[test]
fn a_missing_barrier_is_a_race_with_both_places() {
    // The first store is before a barrier, the second is not.
    let trap = trap(
        "mad.lo.u32 %r1, %t, 4, tile; st.shared.u32 [%r1], %t; bar.sync 0;
        st.shared.u32 [%r1], %r1; xor.b32 %r2, %r1, 128; ld.shared.u32 %r3, [%r2];",
        [1, 64],
    );
    assert_says(&trap, "race", &["st.shared.u32 [%r1], %r1", "ld.shared.u32 %r3, [%r2]"]);
}

#[test]
fn producers_arrive_and_consumers_wait() {
    let body = "setp.ge.u32 %p0, %t, 32;
        mov.u32 %r0, 0;
        @%p0 bra CONSUMER;
        mad.lo.u32 %r1, %t, 4, tile;
        st.shared.u32 [%r1], %t;
        bar.arrive 1, 64;
        bra MEET;
    CONSUMER:
        bar.sync 1, 64;
        ld.shared.u32 %r0, [tile+20];
    MEET:";
    assert_eq!(stored(body, 64), [[0; 32], [5; 32]].concat());
}

#[test]
fn a_deadlock_says_who_waits_where() {
    let trap = trap("setp.lt.u32 %p0, %t, 32; @%p0 bra END; bar.sync 1, 96; END:", [1, 64]);
    assert_says(&trap, "deadlock", &["warp 1, lanes 0xffffffff", "barrier 1", "bar.sync 1, 96"]);
    let Fault::Deadlock { waits } = &trap.fault else { panic!("{trap}") };
    assert_eq!(waits.len(), 1);
}

#[test]
fn uses_of_a_barrier_must_agree() {
    let misuse = |body: &str| assert_says(&trap(body, [1, 64]), "barrier misuse", &["barrier", "bar.sync"]);
    misuse("bar.sync 16;");
    misuse("bar.sync 1, 40;");
    misuse("setp.lt.u32 %p0, %t, 32; mov.u32 %r1, 64; @%p0 mov.u32 %r1, 96; bar.sync 1, %r1;");
}

#[test]
fn an_aligned_barrier_in_a_branch_is_found() {
    let trap = trap("setp.lt.u32 %p0, %t, 16; @!%p0 bra END; bar.sync 0; END: mov.u32 %r0, 1;", [1, 32]);
    assert_says(&trap, "diverged", &["0x0000ffff", "bar.sync 0"]);
}

#[test]
fn accesses_outside_name_the_nearest_buffer() {
    assert_says(
        &trap("ld.global.u32 %r0, [%given+128];", [1, 1]),
        "out of bounds",
        &["given, 128 bytes, at its byte 128"],
    );
    assert_says(&trap("ld.global.u32 %r0, [%given+-4];", [1, 1]), "out of bounds", &["4 bytes further on"]);
    assert_says(
        &trap("st.shared.u32 [tile+1024], %t;", [1, 1]),
        "out of bounds",
        &["tile, 1024 bytes, at its byte 1024"],
    );
    assert_says(&trap("mov.u64 %l0, 0; ld.global.u32 %r0, [%l0];", [1, 1]), "out of bounds", &["0x0"]);
}

#[test]
fn addresses_must_be_multiples_of_the_access() {
    assert_says(&trap("ld.global.u32 %r0, [%given+2];", [1, 1]), "misaligned", &["no multiple of 4"]);
    assert_says(
        &trap("ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%given+8];", [1, 1]),
        "misaligned",
        &["no multiple of 16"],
    );
    assert_says(&trap("ld.shared.u64 %l0, [tile+4];", [1, 1]), "misaligned", &["no multiple of 8"]);
}

#[test]
fn what_nothing_wrote_is_not_read() {
    assert_says(&trap("ld.shared.u32 %r0, [tile+12];", [1, 1]), "uninitialised", &["byte 12 of tile"]);
    let mut memory = Memory::new();
    let (given, out) = (memory.alloc("scratch", 64), memory.alloc("out", 64));
    let text = kernel("ld.global.u32 %r0, [%given+8];");
    let params = [given.address().to_le_bytes(), out.address().to_le_bytes()].concat();
    let launch = Launch { grid: [1; 3], block: [1; 3], dynamic_shared: 0, params: &params };
    let kernel = Program::load(&text).unwrap().kernel("k").unwrap();
    let error = kernel.launch(&memory, &launch, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("byte 8 of scratch (global memory)"), "{error}");
    let unchecked = Options { checks: Checks::None, ..Options::default() };
    assert!(kernel.launch(&memory, &launch, &unchecked).is_ok());
}

#[test]
fn inputs_are_not_written() {
    assert_says(&trap("st.global.u32 [%given+4], %t;", [1, 1]), "read-only", &["byte 4 of given"]);
}

/// A copy of 16 bytes a lane, then `wait`, then the first word.
fn copied(wait: &str) -> String {
    format!(
        "and.b32 %r1, %t, 7; mad.wide.u32 %l1, %r1, 16, %given; mad.lo.u32 %r2, %t, 16, tile;
        cp.async.cg.shared.global [%r2], [%l1], 16;
        cp.async.commit_group;
        {wait}
        ld.shared.u32 %r0, [%r2];"
    )
}

#[test]
fn copies_must_be_waited_for() {
    assert_eq!(stored(&copied("cp.async.wait_group 0;"), 32), [7; 32]);
    for wait in ["", "cp.async.wait_group 1;"] {
        let trap = trap(&copied(wait), [1, 32]);
        assert_says(&trap, "race", &["asynchronous copy", "cp.async.cg.shared.global", "wait for the copy's group"]);
    }
    // Another thread's copy needs a barrier too.
    let other = "xor.b32 %r2, %r2, 16;";
    let trap = trap(&copied(&format!("cp.async.wait_group 0; {other}")), [1, 32]);
    assert_says(&trap, "race", &["asynchronous copy, waited for by its own thread only"]);
    assert_eq!(stored(&copied(&format!("cp.async.wait_group 0; bar.sync 0; {other}")), 32), [7; 32]);
}

#[test]
fn copies_under_way_at_the_end_are_found() {
    let trap = trap("cp.async.ca.shared.global [tile], [%given], 4;", [1, 1]);
    assert_says(&trap, "copy without wait", &["cp.async.ca.shared.global"]);
}

#[test]
fn a_division_by_zero_names_its_lane() {
    let trap = trap("sub.u32 %r1, %t, 5; div.u32 %r0, 1, %r1;", [1, 32]);
    assert_eq!(trap.fault, Fault::DivisionByZero { lane: 5 });
}

#[test]
fn an_endless_loop_meets_the_limit() {
    let trap = trap("AGAIN: bra AGAIN;", [1, 32]);
    assert_says(&trap, "instruction limit", &["100000"]);
}

/// Eight warps turn 256 words around through shared memory, five times.
const TURN: &str = "mov.u32 %r0, %t; mov.u32 %r5, 0;
    mad.lo.u32 %r1, %t, 4, tile; sub.u32 %r2, 255, %t; mad.lo.u32 %r2, %r2, 4, tile;
    AGAIN:
    st.shared.u32 [%r1], %r0;
    bar.sync 0;
    ld.shared.u32 %r0, [%r2];
    bar.sync 0;
    add.u32 %r0, %r0, %r5;
    add.u32 %r5, %r5, 1;
    setp.lt.u32 %p0, %r5, 5;
    @%p0 bra AGAIN;";

#[test]
fn schedules_seeds_and_copies_change_nothing_in_a_correct_kernel() {
    let text = kernel(&format!("{TURN}\n{STORE}"));
    let wanted: Vec<u32> = (0..256).map(|thread| 255 - thread + 10).collect();
    for schedule in
        [Schedule::InOrder, Schedule::Reverse, Schedule::RoundRobin(1), Schedule::RoundRobin(7), Schedule::Random]
    {
        for (seed, copies) in [(1, Copies::Latest), (2, Copies::Earliest)] {
            let options = Options { schedule, seed, copies, ..Options::default() };
            let (words, _) = run(&text, "k", [1, 256], &[], 256, &options).unwrap();
            assert_eq!(words, wanted, "{options:?}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_run_on_any_number_of_threads() {
    // The order of atomics over shared memory shows the order of the warps.
    let text = kernel(&format!(
        "setp.eq.u32 %p0, %t, 0; @%p0 st.shared.u32 [tile], 0; bar.sync 0; mov.u32 %r5, 0;
        AGAIN: atom.shared.add.u32 %r0, [tile], 1; add.u32 %r5, %r5, 1; setp.lt.u32 %p0, %r5, 50; @%p0 bra AGAIN;
        mov.u32 %r6, %ctaid.x; mad.lo.u32 %t, %r6, 128, %t; {STORE}"
    ));
    let run = |seed, threads| {
        let options = Options { schedule: Schedule::Random, seed, threads, ..Options::default() };
        run(&text, "k", [8, 128], &[], 1024, &options).unwrap()
    };
    assert_eq!(run(1, 1), run(1, 1));
    assert_eq!(run(1, 1), run(1, 4));
    assert_ne!(run(1, 1).0, run(2, 1).0);
}

#[test]
fn ctas_that_share_bytes_race() {
    let trap = trap("st.global.u32 [%out], %t;", [2, 1]);
    assert_says(&trap, "race of CTAs", &["byte 0 of out", "CTA number 0"]);
}

#[test]
fn atomics_of_many_ctas_add_up() {
    let text = kernel("atom.global.add.u32 %r0, [%out], 1; red.global.max.u32 [%out+4], %t;");
    for threads in [1, 4] {
        let options = Options { threads, ..Options::default() };
        let (words, _) = run(&text, "k", [50, 96], &[], 2, &options).unwrap();
        assert_eq!(words, [50 * 96, 95]);
    }
}

#[test]
fn ctas_that_wait_for_each_other_all_run() {
    let text = kernel(
        "atom.global.add.u32 %r0, [%out], 1;
    SPIN:
        ld.acquire.gpu.global.u32 %r1, [%out];
        setp.lt.u32 %p0, %r1, 6;
        @%p0 bra SPIN;",
    );
    for threads in [1, 3] {
        let options = Options { threads, limit: 10_000_000, ..Options::default() };
        assert_eq!(run(&text, "k", [6, 1], &[], 1, &options).unwrap().0, [6]);
    }
}

#[test]
fn the_last_warp_may_be_partial() {
    let found = stored("vote.sync.ballot.b32 %r0, 1, -1; bar.sync 0;", 48);
    assert_eq!(found, [vec![u32::MAX; 32], vec![0xFFFF; 16]].concat());
}

#[test]
fn launches_that_fit_no_gpu_are_refused() {
    let program = Program::load(&kernel("")).unwrap();
    let kernel = program.kernel("k").unwrap();
    let (memory, params) = (Memory::new(), [0; 16]);
    let good = Launch { grid: [1; 3], block: [32, 1, 1], dynamic_shared: 0, params: &params };
    assert!(kernel.launch(&memory, &good, &Options::default()).is_ok());
    for (launch, word) in [
        (Launch { block: [1025, 1, 1], ..good }, "1 to 1024"),
        (Launch { block: [0, 1, 1], ..good }, "1 to 1024"),
        (Launch { block: [u32::MAX; 3], ..good }, "1 to 1024"),
        (Launch { grid: [u32::MAX, 2, 1], ..good }, "a grid of"),
        (Launch { params: &params[..8], ..good }, "8 bytes of parameters"),
    ] {
        match kernel.launch(&memory, &launch, &Options::default()) {
            Err(LaunchError::Refused { reason, .. }) => assert!(reason.contains(word), "{reason}"),
            other => panic!("{launch:?}: {other:?}"),
        }
    }
}

#[test]
fn a_warp_that_waits_for_a_flag_lets_the_others_set_it() {
    let body = "and.b32 %r1, %t, 32; setp.eq.u32 %p0, %r1, FIRST; @%p0 bra WAIT;
        st.release.gpu.global.u32 [%out], 1; bra DONE;
        WAIT: ld.acquire.gpu.global.u32 %r2, [%out]; setp.eq.u32 %p1, %r2, 0; @%p1 bra WAIT;
        DONE:";
    for first in ["0", "32"] {
        for schedule in [Schedule::InOrder, Schedule::Reverse, Schedule::RoundRobin(1), Schedule::Random] {
            let options = Options { schedule, limit: 10_000_000, ..Options::default() };
            run(&kernel(&body.replace("FIRST", first)), "k", [1, 64], &[], 64, &options)
                .unwrap_or_else(|error| panic!("{schedule:?}: {error}"));
        }
    }
}
