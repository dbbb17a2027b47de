//! Kernels that nvcc compiled from `ptx-input/nvcc_sm_80.cuda`, which says what they give.

use std::path::Path;

use ptx_emulator::{Fault, Launch, LaunchError, LoadError, Memory, Options, Program, Schedule, Trap};

fn program() -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ptx-input/nvcc_sm_80.ptx");
    Program::load(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

/// Launches one CTA and gives the words of `out`, which starts with zeros.
fn run(name: &str, block: u32, given: &[i32], out: usize, more: &[u8]) -> Result<Vec<i32>, LaunchError> {
    let program = program();
    let kernel = program.kernel(name).unwrap_or_else(|error| panic!("{error}"));
    let mut words = Vec::new();
    for schedule in [Schedule::InOrder, Schedule::Reverse, Schedule::Random] {
        let mut memory = Memory::new();
        let bytes: Vec<u8> = given.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (given, out) = (memory.upload_constant("given", &bytes), memory.upload("out", &vec![0; 4 * out]));
        let pointers = [given, out].map(|buffer| buffer.address().to_le_bytes()).concat();
        let first = if bytes.is_empty() { 8 } else { 0 };
        let params = [&pointers[first..], more].concat();
        let launch = Launch {
            grid: [1, 1, 1],
            block: [block, 1, 1],
            dynamic_shared: 0,
            params: &params[..kernel.param_bytes()],
        };
        kernel.launch(&memory, &launch, &Options { schedule, ..Options::default() })?;
        let found: Vec<i32> =
            memory.download(out).chunks(4).map(|word| i32::from_le_bytes(word.try_into().unwrap())).collect();
        assert!(words.is_empty() || words == found);
        words = found;
    }
    Ok(words)
}

fn trap(outcome: Result<Vec<i32>, LaunchError>) -> Box<Trap> {
    match outcome {
        Err(LaunchError::Trap(trap)) => trap,
        other => panic!("no trap: {other:?}"),
    }
}

#[test]
fn functions_are_called() {
    let found = run("calls", 64, &[], 128, &[]).unwrap_or_else(|error| panic!("{error}"));
    for t in 0..64 {
        let b = t & 7;
        let y = if t & 1 == 1 { (t + 1) << (t & 3) } else { -1 };
        assert_eq!(found[2 * t as usize..][..2], [t + b + 2 * b + (1 << b), y], "thread {t}");
    }
}

#[test]
fn variables_have_their_initial_values_and_keep_what_is_written() {
    let program = program();
    let kernel = program.kernel("globals").unwrap();
    for launches in 1..3u32 {
        let mut memory = Memory::new();
        let [out, weighted] = ["out", "weighted"].map(|name| memory.alloc(name, 4 * 64));
        let params = [out, weighted].map(|buffer| buffer.address().to_le_bytes()).concat();
        let launch = Launch { grid: [1, 1, 1], block: [64, 1, 1], dynamic_shared: 0, params: &params };
        kernel.launch(&memory, &launch, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
        let squares = [0, 1, 4, 9, 16];
        let wanted: Vec<u8> = (0..64).flat_map(|t| i32::to_le_bytes(squares[t % 5] + squares[2 + t % 3])).collect();
        assert_eq!(memory.download(out), wanted);
        let weights = [0.5, 1.0, 2.0, 4.0];
        let wanted: Vec<u8> = (0..64).flat_map(|t| (weights[t & 3] * t as f32).to_le_bytes()).collect();
        assert_eq!(memory.download(weighted), wanted);
        assert_eq!(program.read_variable("visits"), Some((64 * launches).to_le_bytes().to_vec()));
    }
    program.write_variable("visits", &7u32.to_le_bytes());
    assert_eq!(program.read_variable("visits"), Some(7u32.to_le_bytes().to_vec()));
    assert_eq!(program.read_variable("nobody"), None);
}

#[test]
fn printf_prints() {
    let program = program();
    let memory = Memory::new();
    let params = 2i32.to_le_bytes();
    let launch = Launch { grid: [2, 1, 1], block: [32, 1, 1], dynamic_shared: 0, params: &params };
    program.kernel("prints").unwrap().launch(&memory, &launch, &Options::default()).unwrap();
    let once = "kernel: thread  0 of 32, 0.00 -1 a%\nkernel: thread  1 of 32, 0.25 -2 b%\n";
    assert_eq!(memory.take_printed(), once.repeat(2));
    assert_eq!(memory.take_printed(), "");
}

#[test]
fn a_failed_assertion_is_a_trap_with_its_words() {
    let mut numbers = [4; 32];
    run("asserts", 32, &numbers, 1, &[]).unwrap_or_else(|error| panic!("{error}"));
    numbers[13] = 5;
    let trap = trap(run("asserts", 32, &numbers, 1, &[]));
    assert!(matches!(trap.fault, Fault::Assertion { lane: 13, .. }), "{trap}");
    let report = trap.to_string();
    assert!(report.contains("nvcc_sm_80.cu:"), "{report}");
    assert!(report.contains("assertion `x[threadIdx.x] < 5` failed"), "{report}");
}

#[test]
fn tables_of_branches_lead_where_they_say() {
    let found = run("switches", 64, &[], 64, &[]).unwrap_or_else(|error| panic!("{error}"));
    let wanted = |x: i32| match x % 10 {
        0 => x + 3,
        1 => x * x,
        2 => x ^ 0x55,
        3 => x.count_ones() as i32,
        4 => x / 3,
        5 => -x,
        6 => x << 4,
        7 => x.reverse_bits(),
        8 => x % 7,
        _ => 1000,
    };
    assert_eq!(found, (0..64).map(wanted).collect::<Vec<_>>());
}

#[test]
fn arrays_of_a_thread_are_its_own() {
    let found = run("local_arrays", 64, &[], 64, &5i32.to_le_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let wanted = |t: i32| (0..5).map(|i| (i * 7 + t) & 15).sum::<i32>() * t;
    assert_eq!(found, (0..64).map(wanted).collect::<Vec<_>>());
}

#[test]
fn a_block_reduces() {
    let numbers: Vec<i32> = (0..256).map(|t| (t * 37 + 11) % 1001).collect();
    let found = run("reduce", 256, &numbers, 11, &[]).unwrap_or_else(|error| panic!("{error}"));
    let count = |is: &dyn Fn(i32) -> bool| numbers.iter().filter(|x| is(**x)).count() as i32;
    let mut wanted = vec![numbers.iter().sum(), count(&|x| x & 1 == 1), *numbers.iter().max().unwrap()];
    wanted.extend((0..8).map(|low| count(&|x| x & 7 == low)));
    assert_eq!(found, wanted);
}

#[test]
fn functions_are_called_through_pointers() {
    let found = run("pointers", 64, &[], 64, &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found, (0..64).map(|t| if t & 1 == 1 { t + 1 } else { t - 1 }).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_written_out_is_refused_with_its_line() {
    match program().kernel("recursion") {
        Err(LoadError::Unsupported { line, what, .. }) => assert!(line > 1 && what.contains("calls itself"), "{what}"),
        other => panic!("{other:?}"),
    }
}
