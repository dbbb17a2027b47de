//! Threads that store to one address of shared memory by one instruction.

mod support;

use ptx_emulator::{Earlier, Fault, Options, Schedule};
use support::{kernel, run, trap};

/// Stores what `body` leaves in `%r0` after a barrier at the thread's place, for one warp.
fn stored(body: &str) -> Vec<u32> {
    let text = kernel(&format!("{body}\nmad.wide.u32 %l0, %t, 4, %out; st.global.u32 [%l0], %r0;"));
    run(&text, "k", [1, 32], &[], 32, &Options::default()).unwrap_or_else(|error| panic!("{error}")).0
}

/// The race of a kernel of one warp: how the earlier access was made, its lane, the later lane, and the byte.
fn race(body: &str) -> (Earlier, Option<usize>, Option<usize>, u64) {
    let trap = trap(body, [1, 32]);
    match trap.fault {
        Fault::Race { earlier, earlier_lane, lane, offset, .. } => (earlier, earlier_lane, lane, offset),
        fault => panic!("{fault}"),
    }
}

#[test]
fn equal_values_are_one_store() {
    assert_eq!(stored("st.shared.u32 [tile], 42; bar.sync 0; ld.shared.u32 %r0, [tile];"), [42; 32]);
    // The address of a generic store tells that it is of shared memory.
    let generic = "mov.u64 %l1, tile; cvta.shared.u64 %l1, %l1; st.u8 [%l1+3], 200; bar.sync 0;
        ld.shared.u8 %r0, [tile+3];";
    assert_eq!(stored(generic), [200; 32]);
}

#[test]
fn lanes_that_hold_one_value_in_pairs_store_it_in_pairs() {
    // Lanes 2k and 2k + 1 store (k, k + 1, k + 2, k + 3) to line k; lane t reads word 2 of line t / 2.
    let body = "shr.u32 %r1, %t, 1; add.u32 %r2, %r1, 1; add.u32 %r3, %r1, 2; add.u32 %r4, %r1, 3;
        mad.lo.u32 %r5, %r1, 16, tile; st.shared.v4.u32 [%r5], {%r1, %r2, %r3, %r4}; bar.sync 0;
        ld.shared.u32 %r0, [%r5+8];";
    assert_eq!(stored(body), std::array::from_fn::<u32, 32, _>(|lane| lane as u32 / 2 + 2));
}

#[test]
fn neighbouring_bytes_are_different_addresses() {
    let body = "add.u32 %r1, %t, tile; st.shared.u8 [%r1], %t; bar.sync 0; ld.shared.u8 %r0, [%r1];";
    assert_eq!(stored(body), std::array::from_fn::<u32, 32, _>(|lane| lane as u32));
}

#[test]
fn different_values_are_a_race() {
    assert_eq!(race("st.shared.u32 [tile+8], %t;"), (Earlier::SameStore, Some(0), Some(1), 8));
    // Only lane 5 has another value.
    let odd = "setp.eq.u32 %p0, %t, 5; selp.u32 %r1, 1, 0, %p0; st.shared.u32 [tile], %r1;";
    assert_eq!(race(odd), (Earlier::SameStore, Some(0), Some(5), 0));
    let report = trap("st.shared.u32 [tile], %t;", [1, 32]).to_string();
    assert!(report.contains("store of another value by the same instruction"), "{report}");
    assert!(report.contains("let one lane store, or all of them the same value"), "{report}");
}

#[test]
fn vectors_that_differ_in_one_element_are_a_race_there() {
    // Lanes 0 and 16 store to line 0, and so on; the third element is the lane's own.
    let body = "and.b32 %r1, %t, 15; mad.lo.u32 %r2, %r1, 16, tile; st.shared.v4.u32 [%r2], {%r1, %r1, %t, %r1};";
    assert_eq!(race(body), (Earlier::SameStore, Some(0), Some(16), 8));
}

#[test]
fn equal_values_do_not_order_what_was_there_before() {
    // Lane 0 stores first, alone: it knows of that, and the other lanes do not.
    let body = "setp.eq.u32 %p0, %t, 0; @%p0 st.shared.u32 [tile], 42; st.shared.u32 [tile], 42;";
    assert_eq!(race(body), (Earlier::Write, Some(0), Some(1), 0));
    // The same store a second time.
    let again = "mov.u32 %r1, 0; AGAIN: st.shared.u32 [tile], 42; add.u32 %r1, %r1, 1;
        setp.lt.u32 %p0, %r1, 2; @%p0 bra AGAIN;";
    assert_eq!(race(again), (Earlier::Write, Some(0), Some(1), 0));
    let ordered = "setp.eq.u32 %p0, %t, 0; @%p0 st.shared.u32 [tile], 1; bar.warp.sync 0xFFFFFFFF;
        st.shared.u32 [tile], 42; bar.warp.sync 0xFFFFFFFF; ld.shared.u32 %r0, [tile];";
    assert_eq!(stored(ordered), [42; 32]);
}

#[test]
fn stores_that_overlap_in_part_are_two_instructions_and_a_race() {
    let body = "setp.eq.u32 %p0, %t, 0; @%p0 st.shared.u32 [tile], 0; @!%p0 st.shared.u16 [tile+2], 0;";
    // Of lanes 1 to 31, the first carries the store out; the others are looked at before it.
    assert_eq!(race(body), (Earlier::Write, Some(0), Some(2), 0));
}

#[test]
fn warps_may_store_equal_values_by_the_same_instruction() {
    let text = kernel(
        "st.shared.u32 [tile], 42; bar.sync 0; ld.shared.u32 %r0, [tile];
        mad.wide.u32 %l0, %t, 4, %out; st.global.u32 [%l0], %r0;",
    );
    for schedule in [Schedule::InOrder, Schedule::Reverse, Schedule::RoundRobin(1)] {
        let options = Options { schedule, ..Options::default() };
        let (words, _) = run(&text, "k", [1, 96], &[], 96, &options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(words, [42; 96]);
    }
}

#[test]
fn warps_that_store_different_values_race() {
    // Each warp its own number.
    let trap = trap("mov.u32 %r1, %warpid; st.shared.u32 [tile], %r1;", [1, 64]);
    assert!(matches!(trap.fault, Fault::Race { earlier: Earlier::Write, earlier_warp: 0, .. }), "{trap}");
}

#[test]
fn equal_values_of_different_instructions_race() {
    let body = "setp.lt.u32 %p0, %t, 32; @%p0 st.shared.u32 [tile], 42; @!%p0 st.shared.u32 [tile], 42;";
    let trap = trap(body, [1, 64]);
    assert!(matches!(trap.fault, Fault::Race { earlier: Earlier::Write, earlier_warp: 0, .. }), "{trap}");
}

#[test]
fn a_store_must_come_after_all_of_the_equal_ones() {
    // Warps 0 and 1 store 42; warp 2 meets warp 1 only, and stores 7.
    let body = "mov.u32 %r1, %warpid; setp.lt.u32 %p0, %r1, 2; setp.eq.u32 %p1, %r1, 0; setp.eq.u32 %p2, %r1, 2;
        @%p0 st.shared.u32 [tile], 42; @%p1 exit; bar.sync 1, 64; @%p2 st.shared.u32 [tile], 7;";
    let trap = trap(body, [1, 96]);
    assert!(matches!(trap.fault, Fault::Race { earlier_warp: 0, .. }), "{trap}");
    // A load between them finds 42 in every order, and is nobody's race.
    let reads = body.replace("@%p2 st.shared.u32 [tile], 7;", "ld.shared.u32 %r2, [tile];");
    run(&kernel(&reads), "k", [1, 96], &[], 1, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn rows_of_stmatrix_at_one_address_must_be_equal() {
    // Rows 2k and 2k + 1 at line k. A row is four lanes' registers: equal in pairs of rows, then not.
    let rows = |value: &str| {
        format!(
            "and.b32 %r1, %t, 7; shr.u32 %r1, %r1, 1; mad.lo.u32 %r1, %r1, 16, tile; {value}
            stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r1], {{%r2}}; bar.sync 0;
            and.b32 %r3, %t, 15; mad.lo.u32 %r3, %r3, 4, tile; ld.shared.u32 %r0, [%r3];"
        )
    };
    let wanted = std::array::from_fn::<u32, 32, _>(|lane| lane as u32 % 16 / 4);
    assert_eq!(stored(&rows("shr.u32 %r2, %t, 3;")), wanted);
    assert_eq!(race(&rows("mov.u32 %r2, %t;")).0, Earlier::SameStore);
}
