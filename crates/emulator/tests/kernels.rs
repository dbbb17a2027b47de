//! The kernels of `tests/ptx`: what their heads promise.

mod support;

use ptx_emulator::{Checks, Copies, Fault, Launch, LaunchError, Memory, Options, Program, Schedule};
use support::{run, text};

#[test]
fn memory_reads_back_what_was_written_in_every_space() {
    let given: Vec<u32> = (0..8).map(|at| 0x8382_8180 + at * 0x0404_0404).collect();
    let (words, _) = run(&text("memory.ptx"), "memory", [1, 32], &given, 48, &Options::default()).unwrap();
    let wides: Vec<u64> = words.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32).collect();
    let wanted = [
        0x80,
        0xFFFF_FFFF_FFFF_FF80,
        0x8180,
        0xFFFF_FFFF_8382_8180,
        0x8382_8180,
        0x8786_8584,
        0x8F8E_8D8C,
        0x8786_8584_8382_8180,
        3,
        3,
        0x1234,
        9,
        1,
        0,
        5,
        8,
        8,
        1,
        1,
        77,
        0,
        0x4040_0000,
        1,
        0,
    ];
    for (at, (found, wanted)) in wides.iter().zip(wanted).enumerate() {
        assert_eq!(*found, wanted, "word {at}: {found:X}");
    }
}

#[test]
fn copies_fill_with_zeros_what_they_do_not_read() {
    let given: Vec<u32> = (1..=128).collect();
    for copies in [Copies::Latest, Copies::Earliest] {
        let options = Options { copies, ..Options::default() };
        let (words, _) = run(&text("copies.ptx"), "copies", [1, 32], &given, 96, &options).unwrap();
        for lane in 0..32 {
            assert_eq!(words[3 * lane..][..3], [given[4 * lane], given[4 * lane], 0], "lane {lane}, {copies:?}");
        }
    }
}

#[test]
fn barriers_count_vote_and_order() {
    for checks in [Checks::None, Checks::All] {
        let options = Options { checks, ..Options::default() };
        let (words, _) = run(&text("barriers.ptx"), "barriers", [1, 64], &[], 512, &options).unwrap();
        for (thread, found) in words.chunks(8).enumerate() {
            let thread = thread as u32;
            assert_eq!(found, [10, 10, 0, 0, 1, 1, 63 - thread, thread / 32 * 32], "thread {thread}");
        }
    }
}

#[test]
fn warpgroups_give_registers_to_each_other_and_elect_a_lane() {
    for schedule in [Schedule::InOrder, Schedule::Reverse, Schedule::Random] {
        let options = Options { schedule, ..Options::default() };
        let (words, _) = run(&text("roles.ptx"), "roles", [1, 384], &[], 3, &options).unwrap();
        assert_eq!(words, [4, 8, 12], "{schedule:?}");
    }
}

#[test]
fn branches_part_lanes_and_exits_end_them() {
    let (words, _) = run(&text("control.ptx"), "control", [1, 32], &[], 32, &Options::default()).unwrap();
    let wanted: Vec<u32> = (0..32).map(|lane| if lane >= 24 { 0 } else { 2 - lane % 2 }).collect();
    assert_eq!(words, wanted);
}

#[test]
fn clocks_rise_with_the_instructions_of_the_warp() {
    let (words, _) = run(&text("clocks.ptx"), "clocks", [1, 32], &[], 64, &Options::default()).unwrap();
    assert_eq!(words, [12, 4].repeat(32));
}

#[test]
fn tables_of_branches_are_followed() {
    let (words, _) =
        run(&text("runtime.ptx"), "table", [1, 8], &[0, 9, 1, 9, 2, 9, 3, 9], 8, &Options::default()).unwrap();
    assert_eq!(words, [10, 1, 20, 1, 30, 1, 20, 1]);
    match run(&text("runtime.ptx"), "table", [1, 2], &[4, 0], 2, &Options::default()) {
        Err(LaunchError::Trap(trap)) => assert_eq!(trap.fault, Fault::OutsideTable { lane: 0, index: 4 }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_device_runtime_prints_and_asserts() {
    let mut memory = Memory::new();
    let out = memory.upload("out", &[0; 32]);
    let params = out.address().to_le_bytes();
    let launch = Launch { grid: [1, 1, 1], block: [8, 1, 1], dynamic_shared: 0, params: &params };
    let program = Program::load(&text("runtime.ptx")).unwrap();
    program.kernel("printing").unwrap().launch(&memory, &launch, &Options::default()).unwrap();
    assert_eq!(memory.take_printed(), "3 two\n");
    assert_eq!(memory.download(out)[12..20], [2, 0, 0, 0, 0, 0, 0, 0]);
    match program.kernel("failing").unwrap().launch(&memory, &launch, &Options::default()) {
        Err(LaunchError::Trap(trap)) => {
            assert!(trap.to_string().contains("two:7: two: assertion `two` failed"), "{trap}");
            assert_eq!(trap.fault.lane(), Some(5));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_through_pointers_find_their_functions() {
    let given = [0, 1, 1, 0, 0, 1, 0, 1];
    let (words, _) = run(&text("runtime.ptx"), "through", [1, 8], &given, 8, &Options::default()).unwrap();
    assert_eq!(words, [0, 1, 4, 1, 2, 25, 3, 49]);
    match run(&text("runtime.ptx"), "through", [1, 2], &[0, 2], 2, &Options::default()) {
        Err(LaunchError::Trap(trap)) => assert_eq!(trap.fault, Fault::NotAFunction { lane: 1, address: 64 }),
        other => panic!("{other:?}"),
    }
}
