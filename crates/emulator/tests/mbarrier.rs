//! Mbarriers: what they count, who is told, and what is found in kernels that use them wrongly.

mod support;

use ptx_emulator::{Checks, Copies, Options, Schedule, Trap};
use support::{run, text, trap};

/// Every schedule, early and late.
fn ways() -> Vec<Options> {
    let schedules =
        [Schedule::InOrder, Schedule::Reverse, Schedule::RoundRobin(1), Schedule::RoundRobin(7), Schedule::Random];
    let ways = schedules.into_iter().flat_map(|schedule| {
        [Copies::Latest, Copies::Earliest].map(|copies| Options { schedule, copies, ..Options::default() })
    });
    ways.flat_map(|options| (1..4).map(move |seed| Options { seed, limit: 1_000_000, ..options })).collect()
}

fn assert_says(trap: &Trap, name: &str, words: &[&str]) {
    assert_eq!(trap.fault.name(), name, "{trap}");
    let report = trap.to_string();
    for word in words {
        assert!(report.contains(word), "no {word:?} in\n{report}");
    }
}

#[test]
fn phases_count_arrivals_and_bytes() {
    for checks in [Checks::None, Checks::Memory, Checks::All] {
        let options = Options { checks, ..Options::default() };
        let (words, _) = run(&text("mbarrier.ptx"), "mbarrier", [1, 1], &[], 16, &options).unwrap();
        assert_eq!(words, [1, 0, 3, 2, 0, 1, 1, 1, 0, 1, 1, 1, 1, 7, 0, 1], "{checks:?}");
    }
}

#[test]
fn copies_arrive_when_they_have_come() {
    let given: Vec<u32> = (0..128).map(|at| at * 3).collect();
    for options in ways() {
        let (words, _) = run(&text("mbarrier.ptx"), "copies_arrive", [1, 32], &given, 32, &options).unwrap();
        let wanted: Vec<u32> = (0..32).map(|lane: u32| 2 * (lane ^ 1) * 4 * 3).collect();
        assert_eq!(words, wanted, "{options:?}");
    }
}

#[test]
fn stages_are_handed_over_under_every_schedule() {
    for options in ways() {
        let (words, _) = run(&text("mbarrier.ptx"), "stages", [1, 64], &[], 32, &options).unwrap();
        assert_eq!(words, (0..32).map(|lane| 2800 + 8 * lane).collect::<Vec<_>>(), "{options:?}");
    }
}

#[test]
fn fences_change_no_value() {
    let (words, _) = run(&text("fences.ptx"), "fences", [1, 32], &[], 1, &Options::default()).unwrap();
    assert_eq!(words, [1]);
}

/// What is found in a wrong use by one thread, given the instructions and words of the report.
#[test]
fn wrong_uses_are_named() {
    let init = "mbarrier.init.shared::cta.b64 [tile+16], 2;";
    let arrive = "mbarrier.arrive.shared::cta.b64 _, [tile+16];";
    let wait = "mbarrier.test_wait.parity.shared::cta.b64 %p0, [tile+16], ";
    let misuses = [
        (arrive.to_owned(), "no mbarrier was initialised there"),
        (format!("{wait} 0;"), "no mbarrier was initialised there"),
        ("mbarrier.inval.shared::cta.b64 [tile];".to_owned(), "no mbarrier was initialised there"),
        (format!("{init} {init}"), "it is initialised again while it is one"),
        (format!("{init} mbarrier.init.shared::cta.b64 [tile+16], 1;"), "initialised\n    PTX line"),
        (format!("{init} {arrive} mbarrier.inval.shared::cta.b64 [tile+16];"), "1 of 2 arrivals and 0 bytes"),
        ("mbarrier.init.shared::cta.b64 [tile], 0;".to_owned(), "0 arrivals"),
        ("mbarrier.init.shared::cta.b64 [tile], 1048576;".to_owned(), "1048576 arrivals"),
        (
            format!("{init} mbarrier.arrive.shared::cta.b64 _, [tile+16], 3;"),
            "3 more arrivals, and phase 0 lacks 2 of 2",
        ),
        (format!("{init} mbarrier.arrive.noComplete.shared::cta.b64 _, [tile+16], 2;"), "with .noComplete is the last"),
        (
            format!("{init} {arrive} {arrive} {arrive} {arrive}"),
            "phase 1 completes, and no wait was ever told that phase 0",
        ),
        (
            format!(
                "{init} mbarrier.arrive.shared::cta.b64 %l0, [tile+16]; {arrive} {wait} 0; {arrive} {arrive} \
                 mbarrier.test_wait.shared::cta.b64 %p0, [tile+16], %l0;"
            ),
            "a wait with a state of phase 0 in phase 2",
        ),
        (
            format!(
                "{init} mbarrier.expect_tx.shared::cta.b64 [tile+16], 1048575; \
                     mbarrier.expect_tx.shared::cta.b64 [tile+16], 1;"
            ),
            "would lack 1048576 bytes",
        ),
        (format!("{init} ld.shared.u32 %r0, [tile+20];"), "its bytes are touched as if they were data"),
        (format!("{init} st.shared.v4.u32 [tile+16], {{%r0, %r0, %r0, %r0}};"), "mbarrier at byte 16 of tile"),
        (format!("{init} atom.shared.add.u32 %r0, [tile+16], 1;"), "its bytes are touched"),
        (format!("{init} cp.async.cg.shared.global [tile+16], [%given], 16;"), "its bytes are touched"),
    ];
    for (body, words) in misuses {
        let trap = trap(&format!("mov.u32 %r0, 0; {body}"), [1, 1]);
        assert_says(&trap, "mbarrier misuse", &[words, "help: "]);
    }
    assert_says(&trap("mbarrier.init.shared::cta.b64 [tile+4], 1;", [1, 1]), "misaligned", &["use of an mbarrier"]);
    assert_says(&trap("mbarrier.init.b64 [%given], 1;", [1, 1]), "unsupported", &["outside of shared memory"]);
    assert_says(&trap("mbarrier.init.shared::cta.b64 [tile+1024], 1;", [1, 1]), "out of bounds", &["nearest is tile"]);
}

#[test]
fn an_initialisation_needs_a_barrier_before_others_arrive() {
    let body = |between: &str| {
        format!(
            "setp.eq.u32 %p0, %t, 0;
            @%p0 mbarrier.init.shared::cta.b64 [tile], 64;
            {between}
            mbarrier.arrive.shared::cta.b64 _, [tile];"
        )
    };
    for between in ["", "fence.mbarrier_init.release.cluster;", "bar.warp.sync -1;"] {
        let trap = trap(&body(between), [1, 64]);
        assert_says(&trap, "mbarrier misuse", &["nothing orders this use after its initialisation by another thread"]);
    }
    run(&support::kernel(&body("bar.sync 0;")), "k", [1, 64], &[7; 32], 64, &Options::default()).unwrap();
}

#[test]
fn bytes_that_become_an_mbarrier_must_be_nobody_elses() {
    let body = "setp.eq.u32 %p0, %t, 32; @%p0 st.shared.u32 [tile], 1; setp.eq.u32 %p1, %t, 0;
        @%p1 mbarrier.init.shared::cta.b64 [tile], 1;";
    for schedule in [Schedule::InOrder, Schedule::Reverse] {
        let options = Options { schedule, ..Options::default() };
        let Err(ptx_emulator::LaunchError::Trap(trap)) =
            run(&support::kernel(body), "k", [1, 64], &[7; 32], 64, &options)
        else {
            panic!("no trap, {schedule:?}");
        };
        assert!(["race", "mbarrier misuse"].contains(&trap.fault.name()), "{trap}");
    }
}

#[test]
fn what_an_arrival_did_not_tell_is_a_race() {
    // Thread 0 arrives for its warp, with and without a barrier of the warp before; or tells nothing at all.
    let body = |between: &str, order: &str| {
        format!(
            "mov.u32 %r1, tile; mad.lo.u32 %r0, %t, 4, %r1;
            setp.eq.u32 %p0, %t, 0;
            @%p0 mbarrier.init.shared::cta.b64 [tile+512], 1;
            bar.sync 0;
            setp.ge.u32 %p1, %t, 32;
            @%p1 bra READ;
            st.shared.u32 [%r0], %t;
            {between}
            @%p0 mbarrier.arrive{order}.shared::cta.b64 _, [tile+512];
            bra DONE;
        READ:
            mbarrier.try_wait.parity.shared::cta.b64 %p2, [tile+512], 0;
            @!%p2 bra READ;
            ld.shared.u32 %r2, [%r0-128];
        DONE:"
        )
    };
    let found = trap(&body("", ""), [1, 64]);
    assert_says(&found, "race", &["earlier store by warp 0, lane 1"]);
    let found = trap(&body("bar.warp.sync -1;", ".relaxed.cta"), [1, 64]);
    assert_says(&found, "race", &["earlier store by warp 0, lane 0"]);
    let runs = |body: &str| run(&support::kernel(body), "k", [1, 64], &[7; 32], 64, &Options::default()).unwrap();
    runs(&body("bar.warp.sync -1;", ""));
    // Fences make releases and acquires of what is relaxed.
    let fenced = body("bar.warp.sync -1; fence.acq_rel.cta;", ".relaxed.cta");
    runs(&fenced);
    let relaxed = fenced.replace("try_wait.parity", "try_wait.parity.relaxed.cta");
    assert_says(&trap(&relaxed, [1, 64]), "race", &["earlier store by warp 0"]);
    runs(&relaxed.replace("ld.shared", "fence.acquire.cta; ld.shared"));
    // A store behind the fence is not told.
    let late = body("bar.warp.sync -1; fence.acq_rel.cta; st.shared.u32 [%r0], %t;", ".relaxed.cta");
    assert_says(&trap(&late, [1, 64]), "race", &["earlier store by warp 0"]);
}

#[test]
fn a_hang_says_who_waits_for_what_and_who_came() {
    // Two warps arrive in phase 0, one of them in phase 1.
    let body = |wait: &str| {
        format!(
            "setp.eq.u32 %p0, %t, 0;
            @%p0 mbarrier.init.shared::cta.b64 [tile+8], 64;
            bar.sync 0;
            mbarrier.arrive.shared::cta.b64 _, [tile+8];
        FIRST:
            mbarrier.{wait}.parity.shared::cta.b64 %p1, [tile+8], 0;
            @!%p1 bra FIRST;
            setp.ge.u32 %p2, %t, 32;
            @%p2 bra DONE;
            mbarrier.arrive.expect_tx.shared::cta.b64 _, [tile+8], 4;
        SECOND:
            mbarrier.{wait}.parity.shared::cta.b64 %p1, [tile+8], 1;
            @!%p1 bra SECOND;
        DONE:"
        )
    };
    for (wait, again) in [("try_wait", "128 bytes"), ("test_wait", "asking again and again")] {
        let trap = trap(&body(wait), [1, 64]);
        let words = [
            "warp 0, lanes 0xffffffff, waits for the mbarrier at byte 8 of tile: phase 1 lacks 32 of 64 arrivals and 128 bytes",
            "arrived: warp 0 at PTX line",
            "in the phase before: warp 0 at PTX line",
            ", warp 1 at PTX line",
            again,
        ];
        assert_says(&trap, "deadlock", &words);
    }
}

#[test]
fn a_flipped_parity_hangs_with_a_report() {
    let trap = trap(
        "mbarrier.init.shared::cta.b64 [tile], 1;
        mbarrier.arrive.shared::cta.b64 _, [tile];
    AGAIN:
        mbarrier.try_wait.parity.shared::cta.b64 %p1, [tile], 1;
        @!%p1 bra AGAIN;",
        [1, 1],
    );
    assert_says(&trap, "deadlock", &["phase 1 lacks 1 of 1 arrivals; nobody has arrived in it"]);
}

#[test]
fn copies_that_no_wait_was_told_of_are_found_at_the_end() {
    let body = |end: &str| {
        format!(
            "mbarrier.init.shared::cta.b64 [tile+64], 1;
            cp.async.cg.shared.global [tile], [%given], 16;
            cp.async.mbarrier.arrive.noinc.shared::cta.b64 [tile+64];
            {end}"
        )
    };
    assert_says(&trap(&body(""), [1, 1]), "copy without wait", &["nobody waited for the mbarrier phase", "issued"]);
    let early = trap(&body("ld.shared.u32 %r0, [tile];"), [1, 1]);
    assert_says(&early, "race", &["asynchronous copy, not waited for"]);
}

#[test]
fn a_wait_that_is_not_asked_again_is_found() {
    // try_wait may answer no at any time: reading after one question is reading too early.
    let body = "setp.eq.u32 %p0, %t, 0;
        @%p0 mbarrier.init.shared::cta.b64 [tile+512], 32;
        bar.sync 0;
        mov.u32 %r1, tile; mad.lo.u32 %r0, %t, 4, %r1;
        setp.lt.u32 %p1, %t, 32;
        @%p1 bra READ;
        st.shared.u32 [%r0-128], %t;
        mbarrier.arrive.shared::cta.b64 _, [tile+512];
        bra DONE;
    READ:
        mbarrier.try_wait.parity.shared::cta.b64 %p2, [tile+512], 0;
        ld.shared.u32 %r2, [%r0];
    DONE:";
    assert_says(&trap(body, [1, 64]), "uninitialised", &["ld.shared.u32"]);
}
