//! Clusters: their barrier, shared memory of other CTAs, copies to several of them.

mod support;

use ptx_emulator::{Copies, LaunchError, Options, Schedule, Trap};
use support::{kernel, run, text};

fn ways() -> Vec<Options> {
    let schedules = [Schedule::InOrder, Schedule::Reverse, Schedule::RoundRobin(1), Schedule::Random];
    let ways = schedules.into_iter().flat_map(|schedule| {
        [Copies::Latest, Copies::Earliest].map(|copies| Options { schedule, copies, ..Options::default() })
    });
    ways.flat_map(|options| (1..4).map(move |seed| Options { seed, limit: 1_000_000, ..options })).collect()
}

#[test]
fn ctas_of_a_cluster_reach_each_other() {
    for options in ways() {
        let (words, _) = run(&text("cluster.ptx"), "neighbours", [2, 32], &[], 80, &options)
            .unwrap_or_else(|error| panic!("{options:?}: {error}"));
        for rank in 0..2 {
            for thread in 0..32 {
                let wanted = 2 * (100 * (1 - rank) + thread) + 32;
                assert_eq!(words[(32 * rank + thread) as usize], wanted, "CTA {rank}, thread {thread}, {options:?}");
            }
            assert_eq!(words[64 + 8 * rank as usize..][..8], [rank, 2, rank, 2, 0, 1, 1, 1 - rank]);
        }
    }
}

#[test]
fn a_copy_goes_to_several_ctas() {
    let given: Vec<u32> = (0..32).map(|at| 3 * at + 5).collect();
    for options in ways() {
        let options = Options { cluster: [2, 1, 1], ..options };
        let (words, stats) = run(&text("cluster.ptx"), "multicast", [4, 32], &given, 128, &options)
            .unwrap_or_else(|error| panic!("{options:?}: {error}"));
        assert_eq!(words, given.repeat(4), "{options:?}");
        // What several CTAs get is read once.
        assert_eq!(stats.global_copies.bytes, 2 * 128);
    }
}

/// The trap of a kernel of 2 CTAs of 32 threads in a cluster; `%r15` is the number of the CTA, `%r14` that of the other.
fn trap(body: &str, schedule: Schedule) -> Box<Trap> {
    let body = format!("mov.u32 %r15, %cluster_ctarank; xor.b32 %r14, %r15, 1; mov.u32 %r13, tile;\n{body}");
    let options = Options { cluster: [2, 1, 1], schedule, limit: 1_000_000, ..Options::default() };
    match run(&kernel(&body), "k", [2, 32], &[7; 32], 64, &options) {
        Err(LaunchError::Trap(trap)) => trap,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("no trap in\n{body}"),
    }
}

const SYNC: &str = "barrier.cluster.arrive; barrier.cluster.wait;";
const OTHER: &str = "mapa.shared::cluster.u32 %r12, %r13, %r14;";

#[test]
fn misuse_of_clusters_is_found() {
    let mine = "mad.lo.u32 %r11, %t, 4, %r13; st.shared.u32 [%r11], %t;";
    let theirs = "mapa.shared::cluster.u32 %r12, %r11, %r14;";
    let traps = [
        ("barrier.cluster.wait;".to_owned(), "cluster misuse", "a thread waits at its barrier and has not arrived"),
        ("barrier.cluster.arrive; barrier.cluster.arrive;".to_owned(), "cluster misuse", "for the second time"),
        ("mapa.shared::cluster.u32 %r12, %r13, 2;".to_owned(), "cluster misuse", "CTA 2 is named, of a cluster of 2"),
        (
            format!("{OTHER} st.shared::cluster.u32 [%r12], 1; {SYNC}"),
            "cluster misuse",
            "nothing says that it runs already",
        ),
        // Nothing orders the read of one CTA and the next write of the other.
        (
            format!("{mine} {SYNC} {theirs} ld.shared::cluster.u32 %r1, [%r12]; {mine} {SYNC}"),
            "race",
            "nothing orders it",
        ),
        // A relaxed arrival tells nothing.
        (
            format!(
                "{mine} barrier.cluster.arrive.relaxed; barrier.cluster.wait; {theirs} ld.shared::cluster.u32 %r1, \
                 [%r12]; {SYNC}"
            ),
            "race",
            "earlier store by warp 0, lane",
        ),
        (
            format!(
                "setp.eq.u32 %p0, %t, 0; @%p0 mbarrier.init.shared::cta.b64 [tile], 1; {SYNC} {OTHER}
                mapa.shared::cluster.u32 %r12, %r13, 1;
                mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r12], 1; {SYNC}"
            ),
            "mbarrier misuse",
            "it belongs to another CTA of the cluster",
        ),
        (
            format!(
                "{SYNC} setp.eq.u32 %p0, %r15, 0; @%p0 bra END; {SYNC} WAIT: {SYNC} bra WAIT; END: bar.sync 1, 64;"
            ),
            "deadlock",
            "(in CTA (0, 0, 0)) barrier 1",
        ),
    ];
    for (body, name, words) in traps {
        let found = trap(&body, Schedule::InOrder);
        assert_eq!(found.fault.name(), name, "{body}\n{found}");
        assert!(found.to_string().contains(words), "no {words:?} in\n{found}");
    }
}

#[test]
fn fences_before_relaxed_arrivals_tell() {
    let relaxed = "barrier.cluster.arrive.relaxed; barrier.cluster.wait;";
    let bodies = [
        // As prologues of clusters do it.
        format!(
            "setp.eq.u32 %p0, %t, 0; @%p0 mbarrier.init.shared::cta.b64 [tile], 64; fence.mbarrier_init.release.cluster; \
             {relaxed} mapa.shared::cluster.u32 %r12, %r13, 0; mbarrier.arrive.shared::cluster.b64 _, [%r12]; \
             setp.ne.u32 %p1, %r15, 0; @%p1 bra END; \
             WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p2, [tile], 0; @!%p2 bra WAIT; END: {SYNC}"
        ),
        format!(
            "mad.lo.u32 %r11, %t, 4, %r13; st.shared.u32 [%r11], %t; fence.acq_rel.cluster; {relaxed} \
             mapa.shared::cluster.u32 %r12, %r11, %r14; ld.shared::cluster.u32 %r1, [%r12]; {SYNC}"
        ),
    ];
    for body in bodies {
        let body = format!("mov.u32 %r15, %cluster_ctarank; xor.b32 %r14, %r15, 1; mov.u32 %r13, tile;\n{body}");
        for options in ways() {
            let options = Options { cluster: [2, 1, 1], ..options };
            run(&kernel(&body), "k", [2, 32], &[7; 32], 64, &options)
                .unwrap_or_else(|error| panic!("{options:?}: {error}"));
        }
    }
}

#[test]
fn memory_of_a_cta_that_has_ended_is_gone() {
    // CTA 1 ends at once; CTA 0 reads its memory after a while.
    let body = format!(
        "mad.lo.u32 %r11, %t, 4, %r13; st.shared.u32 [%r11], %t; {SYNC}
        setp.eq.u32 %p0, %r15, 1; @%p0 bra END;
        mapa.shared::cluster.u32 %r12, %r11, %r14;
        mov.u32 %r1, 0;
        AGAIN: add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, 5000; @%p1 bra AGAIN;
        ld.shared::cluster.u32 %r2, [%r12];
        END:"
    );
    let found = trap(&body, Schedule::InOrder);
    assert_eq!(found.fault.name(), "cluster misuse", "{found}");
    assert!(found.to_string().contains("shared memory of CTA 1 is accessed, which has ended"), "{found}");
}

#[test]
fn clusters_must_fit_the_launch() {
    for (cluster, grid, words) in [
        ([2, 1, 1], 3, "no multiple of clusters of [2, 1, 1]"),
        ([32, 1, 1], 32, "it has 1 to 16"),
        ([0, 1, 1], 1, "it has 1 to 16"),
    ] {
        let options = Options { cluster, ..Options::default() };
        let Err(error) = run(&kernel("ret;"), "k", [grid, 32], &[7; 32], 64, &options) else { panic!("{cluster:?}") };
        assert!(error.to_string().contains(words), "{error}");
    }
    let options = Options { cluster: [4, 1, 1], ..Options::default() };
    let Err(error) = run(&text("cluster.ptx"), "neighbours", [4, 32], &[], 80, &options) else { panic!() };
    assert!(error.to_string().contains("the kernel is compiled for [2, 1, 1]"), "{error}");
    let most = kernel("ret;").replace("given, .param .u64 out) {", "given, .param .u64 out) .maxclusterrank 2 {");
    let Err(error) = run(&most, "k", [4, 32], &[7; 32], 64, &options) else { panic!() };
    assert!(error.to_string().contains("the kernel is compiled for at most 2"), "{error}");
    run(&most, "k", [4, 32], &[7; 32], 64, &Options { cluster: [2, 1, 1], ..options }).unwrap();
}
