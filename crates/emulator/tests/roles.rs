//! Warpgroups, their registers and their barriers, in kernels that use them wrongly.

mod support;

use ptx_emulator::{LaunchError, Options, Trap};
use support::{kernel, run, trap};

/// The trap of a kernel for sm_90a of so many threads, for which it is compiled.
fn trap_of(body: &str, threads: u32) -> Box<Trap> {
    let text = kernel(body)
        .replace(".target sm_90", ".target sm_90a")
        .replace("out) {", &format!("out) .maxntid {threads}, 1, 1 {{"));
    match run(&text, "k", [1, threads], &[7; 32], 64, &Options::default()) {
        Err(LaunchError::Trap(trap)) => trap,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("no trap in\n{body}"),
    }
}

fn assert_says(trap: &Trap, name: &str, words: &[&str]) {
    assert_eq!(trap.fault.name(), name, "{trap}");
    let report = trap.to_string();
    for word in words {
        assert!(report.contains(word), "no {word:?} in\n{report}");
    }
}

/// Goes to FIRST in the first warpgroup.
const PART: &str = "setp.lt.u32 %p0, %t, 128; @%p0 bra FIRST;";

#[test]
fn registers_that_nobody_gives_back_are_a_deadlock() {
    // 168 each: 128 of them given back by 128 threads, twice 80 wanted.
    let body = format!(
        "{PART} setmaxnreg.inc.sync.aligned.u32 248; bra END; FIRST: setmaxnreg.dec.sync.aligned.u32 40; END: bar.sync 0;"
    );
    let trap = trap_of(&body, 384);
    assert_says(
        &trap,
        "deadlock",
        &[
            "warp 10, lanes 0xffffffff, waits for 2560 registers more, 248 instead of 168 for each thread",
            "of the CTA's 64512 are free",
            "setmaxnreg.inc.sync.aligned.u32 248",
            "missing: warps",
        ],
    );
}

#[test]
fn registers_change_in_whole_warpgroups_and_the_way_that_is_said() {
    let trap = trap_of("setmaxnreg.dec.sync.aligned.u32 240;", 384);
    assert_says(&trap, "register misuse", &["dec to 240 registers of a thread, and it has 168", "help: let all four"]);
    let trap = trap_of("setmaxnreg.inc.sync.aligned.u32 160;", 384);
    assert_says(&trap, "register misuse", &["inc to 160 registers of a thread, and it has 168"]);
    let trap = trap_of("setmaxnreg.dec.sync.aligned.u32 40;", 96);
    assert_says(&trap, "register misuse", &["warp 0 is in no whole warpgroup"]);
    // One warp of four.
    let trap = trap_of("setp.lt.u32 %p0, %t, 32; @!%p0 bra END; setmaxnreg.dec.sync.aligned.u32 40; END:", 128);
    assert_says(&trap, "register misuse", &["warp 1 never executes it", "setmaxnreg.dec"]);
    let trap = trap_of(
        "setp.lt.u32 %p0, %t, 32; @%p0 bra ONE; setmaxnreg.dec.sync.aligned.u32 40; bra END;
        ONE: setmaxnreg.dec.sync.aligned.u32 48; END:",
        128,
    );
    assert_says(&trap, "register misuse", &["warp 1 wants 40 registers of a thread where another warp", "wanted 48"]);
    let half = trap_of("setp.lt.u32 %p0, %t, 16; @%p0 setmaxnreg.dec.sync.aligned.u32 40;", 128);
    assert_says(&half, "diverged", &["lanes 0x0000ffff"]);
}

#[test]
fn registers_at_the_start_are_the_launchs_to_say() {
    let text = |body: &str| kernel(body).replace(".target sm_90", ".target sm_90a");
    let run = |body: &str, registers: Option<u32>| {
        run(&text(body), "k", [1, 128], &[], 1, &Options { registers, ..Options::default() })
    };
    let unknown = run("setmaxnreg.dec.sync.aligned.u32 40;", None).unwrap_err().to_string();
    assert!(unknown.contains("give the kernel .maxntid"), "{unknown}");
    run("setmaxnreg.dec.sync.aligned.u32 40;", Some(64)).unwrap();
    let few = run("setmaxnreg.dec.sync.aligned.u32 40;", Some(32)).unwrap_err().to_string();
    assert!(few.contains("dec to 40 registers of a thread, and it has 32"), "{few}");
}

#[test]
fn what_only_sm_90a_has_is_refused_elsewhere() {
    let text = kernel("setmaxnreg.dec.sync.aligned.u32 40;");
    let refusal = ptx_emulator::Program::load(&text).unwrap().kernel("k").unwrap_err().to_string();
    assert!(refusal.contains("exists for .target sm_90a only, and the text is for sm_90"), "{refusal}");
    let odd = kernel("setmaxnreg.dec.sync.aligned.u32 41;").replace("sm_90", "sm_90a");
    let refusal = ptx_emulator::Program::load(&odd).unwrap().kernel("k").unwrap_err().to_string();
    assert!(refusal.contains("no such combination of modifiers, registers and numbers"), "{refusal}");
}

#[test]
fn lanes_of_a_warp_name_one_barrier() {
    assert_says(
        &trap("barrier.cta.sync %t;", [1, 32]),
        "barrier misuse",
        &["lanes of one warp name different barriers, 0 and 1"],
    );
    assert_says(
        &trap("add.u32 %r0, %t, 32; bar.sync 1, %r0;", [1, 32]),
        "barrier misuse",
        &["lanes of one warp name different counts, 32 and 33"],
    );
}

#[test]
fn a_named_barrier_that_waits_tells_who_came() {
    let trap = trap("setp.lt.u32 %p0, %t, 32; @%p0 bra END; bar.sync 3, 128; END:", [1, 96]);
    assert_says(&trap, "deadlock", &["barrier 3; 64 of 128 threads have arrived: warps 1, 2"]);
}
