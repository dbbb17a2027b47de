//! `wgmma` used wrongly: what is found, and what the report says.

mod support;

use ptx_emulator::{Checks, LaunchError, Options, Program, Trap};
use support::product::{Case, HEAD, Kind};
use support::run;

fn case() -> Case {
    Case::new(16, Kind::F32, Kind::Bf16, Kind::Bf16)
}

fn launch(case: &Case, body: &str, threads: u32, checks: Checks) -> Result<Vec<u32>, LaunchError> {
    let (given, shared) = case.given(&|_, _| 1, &|_, _| 1, &|_, _| 0);
    let text = HEAD.to_owned() + &case.text("k", shared, body);
    let options = Options { checks, limit: 100_000, ..Options::default() };
    run(&text, "k", [1, threads], &given, 128 * case.registers(), &options).map(|(words, _)| words)
}

/// The trap of a kernel with this body.
fn trap_of(case: &Case, body: &str) -> Box<Trap> {
    match launch(case, body, 128, Checks::All) {
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

/// The body with something before one of its instructions.
fn with(case: &Case, before: &str, what: &str) -> String {
    let body = case.body();
    let at = body.find(before).unwrap();
    format!("{}{what}\n{}", &body[..at], &body[at..])
}

/// The body without one of its instructions.
fn without(case: &Case, instruction: &str) -> String {
    case.body().lines().filter(|line| !line.starts_with(instruction)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_fence_orders_registers_before_products() {
    let case = case();
    let trap = trap_of(&case, &without(&case, "wgmma.fence"));
    assert_says(&trap, "wgmma without fence", &["no wgmma.fence orders", "wgmma.mma_async", "help: put wgmma.fence"]);
    let trap = trap_of(&case, &with(&case, "wgmma.mma_async", "mov.b32 %d3, 0;"));
    assert_says(&trap, "wgmma without fence", &["registers from %d0 on"]);
    // Reading them is an access too.
    let trap = trap_of(&case, &with(&case, "wgmma.mma_async", "mov.b32 %r3, %d3;"));
    assert_says(&trap, "wgmma without fence", &["registers from %d0 on"]);
    let in_registers = Case { tile_a: None, ..case };
    let trap = trap_of(&in_registers, &with(&in_registers, "wgmma.mma_async", "mov.b32 %a2, 0;"));
    assert_says(&trap, "wgmma without fence", &["registers from %a0 on"]);
    // Products of one shape follow each other without one.
    let twice = with(&case, "wgmma.commit", &case.instruction());
    launch(&case, &twice, 128, Checks::All).unwrap();
}

#[test]
fn registers_of_a_product_are_nobodys_until_the_wait() {
    let case = case();
    let trap = trap_of(&case, &with(&case, "wgmma.commit", "add.u32 %r3, %d5, 1;"));
    assert_says(
        &trap,
        "register in flight",
        &[
            "%d5 belongs to a wgmma that is in no group yet",
            "add.u32 %r3, %d5, 1",
            "issued",
            "wgmma.mma_async",
            "help: close",
        ],
    );
    let trap = trap_of(&case, &with(&case, "wgmma.wait", "mov.b32 %d7, 1;"));
    assert_says(
        &trap,
        "register in flight",
        &["%d7 belongs to a wgmma that nobody has waited for", "help: put wgmma.wait"],
    );
    let trap = trap_of(&case, &case.body().replace("wait_group.sync.aligned 0", "wait_group.sync.aligned 1"));
    assert_says(&trap, "register in flight", &["%d0 belongs to", "st.global.u32"]);
    let in_registers = Case { tile_a: None, ..case };
    for access in ["mov.b32 %a1, 0;", "mov.b32 %r3, %a1;"] {
        let trap = trap_of(&in_registers, &with(&in_registers, "wgmma.wait", access));
        assert_says(&trap, "register in flight", &["%a1 belongs to"]);
    }
    // A guard that holds nowhere touches nothing.
    let body = with(&case, "wgmma.wait", "setp.lt.u32 %p1, %t, 0; @%p1 mov.b32 %d7, 1;");
    launch(&case, &body, 128, Checks::All).unwrap();
}

#[test]
fn products_of_another_shape_are_not_ordered_by_themselves() {
    let case = case();
    let other = Case { a: Kind::E4m3, b: Kind::E4m3, ..case };
    let trap = trap_of(&case, &with(&case, "wgmma.commit", &other.instruction()));
    assert_says(&trap, "register in flight", &["%d0 belongs to", "k32.f32.e4m3.e4m3"]);
    let half = Case { columns: 8, ..case };
    let trap = trap_of(&case, &with(&case, "wgmma.commit", &half.instruction()));
    assert_says(&trap, "register in flight", &["%d0 belongs to", "m64n8k16"]);
    // What one adds to is no A of the next.
    let chained = Case { tile_a: None, ..case }.instruction().replace("{%a0, %a1, %a2, %a3}", "{%d0, %d1, %d2, %d3}");
    let chained = chained.replacen(
        "{%d0, %d1, %d2, %d3, %d4, %d5, %d6, %d7}",
        "{%d8, %d9, %d10, %d11, %d12, %d13, %d14, %d15}",
        1,
    );
    let trap = trap_of(&case, &with(&case, "wgmma.commit", &chained));
    assert_says(&trap, "register in flight", &["%d0 belongs to"]);
}

#[test]
fn products_are_waited_for_before_the_end() {
    let case = case();
    let end = |body: String| body + "\nexit;";
    let trap = trap_of(&case, &end(without(&case, "wgmma.wait")));
    assert_says(
        &trap,
        "wgmma without wait",
        &["ends with a wgmma that it never waited for", "issued", "wgmma.mma_async"],
    );
    let trap = trap_of(&case, &end(without(&case, "wgmma.commit")));
    assert_says(&trap, "wgmma without wait", &["ends with a wgmma that is in no group"]);
}

#[test]
fn the_warps_of_a_warpgroup_agree() {
    let case = case();
    let warp = "shr.u32 %r3, %t, 5; cvt.u64.u32 %l3, %r3; setp.eq.u32 %p1, %r3, 2;";
    let before = |what: &str| with(&case, "wgmma.fence", &format!("{warp} {what}"));
    let trap = trap_of(&case, &before("@%p1 add.s64 %l2, %l2, 2;"));
    assert_says(
        &trap,
        "warpgroup apart",
        &["warp 2 brings descriptor", "of B, and another warp of its warpgroup", "help: let all four"],
    );
    let trap = trap_of(&case, &before("@%p1 add.s64 %l1, %l1, 2;"));
    assert_says(&trap, "warpgroup apart", &["warp 2 brings descriptor", "of A, and another"]);
    let trap = trap_of(&case, &before("@%p1 setp.ne.u32 %p0, 0, 0;"));
    assert_says(&trap, "warpgroup apart", &["warp 2 brings no addition to D"]);
    let trap = trap_of(&case, &with(&case, "wgmma.fence", "cvt.u64.u32 %l3, %t; add.s64 %l2, %l2, %l3;"));
    assert_says(&trap, "warpgroup apart", &["lanes of one warp name different descriptors of B"]);
    let trap = trap_of(&case, &with(&case, "wgmma.fence", "and.b32 %r3, %t, 1; setp.eq.u32 %p0, %r3, 0;"));
    assert_says(&trap, "warpgroup apart", &["lanes of one warp differ in the predicate"]);
    // One warp issues nothing: the others wait for it.
    let trap = trap_of(&case, &before("@%p1 bra END;").replace("aligned 0;", "aligned 0;\nEND:"));
    assert_says(
        &trap,
        "deadlock",
        &["warp 0, lanes 0xffffffff, waits for warps 2 to issue wgmma.mma_async", "wgmma.wait_group"],
    );
    // It commits where others multiply.
    let late = format!("{warp}\n@!%p1 bra ALL;\nwgmma.commit_group.sync.aligned;\nALL:");
    let trap = trap_of(&case, &with(&case, "wgmma.fence", &late));
    assert_says(&trap, "warpgroup apart", &["warp 2 comes here where another warp of its warpgroup is at line"]);
    // Half a warp, and three warps.
    let trap = trap_of(&case, &with(&case, "wgmma.mma_async", "setp.lt.u32 %p1, %t, 16; @%p1"));
    assert_says(&trap, "diverged", &["0x0000ffff"]);
    let Err(LaunchError::Trap(trap)) = launch(&case, &case.body(), 96, Checks::None) else { panic!("no trap") };
    assert_says(&trap, "warpgroup apart", &["warp 0 is in no whole warpgroup"]);
}

#[test]
fn descriptors_lead_into_one_variable() {
    let case = case();
    let change = |what: &str| trap_of(&case, &with(&case, "wgmma.fence", what));
    // 64 KiB on; or a stride that is 4 KiB longer.
    assert_says(
        &change("add.s64 %l2, %l2, 4096;"),
        "wgmma descriptor",
        &[
            "of B: start 0x12400, leading byte offset 16, stride byte offset 1024, swizzle of 128 bytes",
            "a line of 16 bytes at shared address 0x12400; tile has 10240 bytes, and this is its byte 73728",
            "help: check start",
        ],
    );
    assert_says(
        &change("add.s64 %l2, %l2, 0x10000000000;"),
        "wgmma descriptor",
        &["stride byte offset 5120", "address 0x3800; tile has 10240 bytes, and this is its byte 13312"],
    );
    assert_says(
        &change("or.b64 %l1, %l1, 16384;"),
        "wgmma descriptor",
        &["of A: the bits 0x4000 belong to no field and must be 0"],
    );
}

#[test]
fn operands_that_nothing_wrote_are_found() {
    let case = case();
    let (given, shared) = case.given(&|_, _| 1, &|_, _| 1, &|_, _| 0);
    // The copy ends 128 bytes early.
    let text = HEAD.to_owned() + &case.text("k", shared, &case.body());
    let text = text.replace(&format!("%r0, {shared};"), &format!("%r0, {};", shared - 128));
    let options = Options { checks: Checks::All, ..Options::default() };
    let error = run(&text, "k", [1, 128], &given, 1024, &options).unwrap_err().to_string();
    assert!(error.contains("of tile (shared memory), which nothing has written"), "{error}");
}

#[test]
fn sums_are_as_many_as_the_shape_has() {
    let case = case();
    for (from, to, why) in [
        ("{%d0, ", "{", "no such combination of modifiers, registers and numbers"),
        ("{%d0, %d1,", "{%d0, %d0,", "%d0 stands twice among the sums"),
        ("n16k16", "n12k16", "no such combination"),
        ("n16k16", "n264k16", "no such combination"),
        (", 1, 1, 0, 0;", ", 1, 2, 0, 0;", "operand 6 must be 1 or -1"),
        (", 1, 1, 0, 0;", ", 1, 1, 0, -1;", "operand 8 must be 0 or 1"),
    ] {
        let text = HEAD.to_owned() + &case.text("k", 128, &case.body());
        assert!(text.contains(from));
        let error = ptx_emulator::Program::load(&text.replace(from, to)).unwrap().kernel("k").unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_threads_wrote_passes_a_fence_and_stays_until_the_wait() {
    let case = case();
    let (given, shared) = case.given(&|_, _| 1, &|_, _| 1, &|_, _| 0);
    let trap = |from: &str, to: &str, body: &str| {
        let text = HEAD.to_owned() + &case.text("k", shared, body);
        assert!(text.contains(from));
        match run(&text.replace(from, to), "k", [1, 128], &given, 1024, &Options::default()) {
            Err(LaunchError::Trap(trap)) => trap,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("no trap in\n{body}"),
        }
    };
    let unfenced = trap("fence.proxy.async.shared::cta;", "", &case.body());
    assert_says(&unfenced, "race", &["read of an operand of wgmma at byte", "without a proxy fence", "st.shared.u32"]);
    let unordered = trap("bar.sync 0;", "", &case.body());
    assert_says(&unordered, "race", &["read of an operand of wgmma at byte"]);
    // The buffer is used again before the wait.
    let early = with(&case, "wgmma.wait", "bar.sync 0; st.shared.u32 [tile], 0;");
    let early = trap("fence", "fence", &early);
    assert_says(
        &early,
        "race",
        &["store at byte 0 of tile", "wgmma that reads its operands here, its group not waited for"],
    );
    // Every warp knows of the reads of all four after its own wait, whichever of them runs first.
    let late = case.body().replace("aligned 0;", "aligned 0; @%p1 st.shared.u32 [tile], 0;");
    let late = late.replacen("wgmma.fence", "setp.eq.u32 %p1, %t, 0; wgmma.fence", 1);
    launch(&case, &late, 128, Checks::All).unwrap();
}

#[test]
fn products_without_end_are_refused() {
    let case = case();
    let body = case.body().replace("wgmma.wait_group.sync.aligned 0;", "bra AGAIN; wgmma.wait_group.sync.aligned 0;");
    let trap = trap_of(&case, &body.replacen("wgmma.mma", "AGAIN:\nwgmma.mma", 1));
    assert_says(&trap, "unsupported", &["thousands of wgmma of a warpgroup that nobody waits for"]);
}

#[test]
fn at_most_seven_groups_may_be_left() {
    for (left, loads) in [(0, true), (7, true), (8, false)] {
        let text = format!("{HEAD}.visible .entry k() {{ wgmma.wait_group.sync.aligned {left}; ret; }}");
        assert_eq!(Program::load(&text).unwrap().kernel("k").is_ok(), loads, "{left}");
    }
}
