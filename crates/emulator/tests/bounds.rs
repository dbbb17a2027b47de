//! What a text or a launch asks for is bounded, and what is refused says how much was wanted.

mod support;

use std::fmt::Write;
use std::time::{Duration, Instant};

use ptx_emulator::{Launch, LaunchError, LoadError, Memory, Options, Program};

fn module(entry: &str) -> String {
    format!(".version 9.0\n.target sm_80\n.address_size 64\n{entry}")
}

/// Why the kernel `k` of a text does not load.
fn refused(text: &str) -> String {
    let error = match Program::load(text) {
        Err(error) => error,
        Ok(program) => program.kernel("k").expect_err("the kernel is refused"),
    };
    assert!(matches!(error, LoadError::Syntax(_) | LoadError::Unsupported { .. }), "{error:?}");
    error.to_string()
}

/// A launch of one parameter, a buffer of 4 KiB.
fn launch(text: &str, grid: [u32; 3], block: [u32; 3]) -> Result<u64, LaunchError> {
    let mut memory = Memory::new();
    let buffer = memory.upload("buffer", &[0; 4096]);
    let params = buffer.address().to_le_bytes();
    let kernel = Program::load(text).unwrap().kernel("k").unwrap_or_else(|error| panic!("{error}"));
    let launch = Launch { grid, block, dynamic_shared: 0, params: &params };
    let options = Options { limit: 1_000_000, ..Options::default() };
    kernel.launch(&memory, &launch, &options).map(|stats| stats.warp_instructions)
}

#[test]
fn a_guard_is_a_predicate() {
    for (register, declared) in
        [("%rd9", ".reg .b64 %rd<10>;"), ("%r3", ".reg .b32 %r<10>;"), ("%h1", ".reg .b16 %h<2>;")]
    {
        let text = module(&format!(
            ".visible .entry k(.param .u64 x) {{\n .reg .pred %p<2>;\n {declared}\n @{register} ret;\n ret;\n}}"
        ));
        let error = refused(&text);
        assert!(
            error.contains(&format!("line 7, column 2: @{register} ret;: its guard {register} is no predicate")),
            "{error}"
        );
    }
}

#[test]
fn operands_are_what_the_types_say() {
    for (instruction, why) in [
        ("add.u32 %r1, %r2, %p1;", "%p1: a predicate stands where a register of 32 bits is needed"),
        ("add.u32 %r1, %h1, %r2;", "%h1: a register of 16 bits stands where a register of 32 bits is needed"),
        ("add.f32 %r1, %r2, 1;", "an integer stands where a float is needed"),
        ("add.u32 %r1, %r2, 0f3F800000;", "a float stands where none is needed"),
        ("add.u64 %rd1, %r2, 1;", "%r2: a register of 32 bits stands where a register of 64 bits is needed"),
        (
            "st.global.u64 [%rd1], %r1;",
            "%r1: a register of 32 bits stands where a register of 64 bits or more is needed",
        ),
        ("and.pred %p1, %p1, %tid.x;", "%tid.x stands where no special register can"),
        ("selp.b32 %r1, %r1, %r1, 7;", "7 stands where a predicate is needed"),
        ("ld.shared.u32 %r1, [x];", "x lies in parameter memory, not in shared memory"),
        ("ld.global.u32 %r1, [tile];", "tile lies in shared memory, not in global memory"),
        ("ld.u32 %r1, [tile];", "tile lies in shared memory: its address is no generic one"),
        ("ld.global.u32 %r1, [%h1];", "an address cannot be a register of 16 bits"),
        ("cvta.global.u64 %rd1, tile;", "tile lies in shared memory, not in global memory"),
        ("cp.async.ca.shared.global [%rd1], [%rd1], -18446744073709551600;", "operand 3 must be a smaller number"),
        ("lop3.b32 %r1, %r1, %r1, %r1, 256;", "operand 5 must be a smaller number"),
        ("mul.wide.u32 %rd1, %r1, %rd1;", "%rd1: a register of 64 bits stands where a register of 32 bits is needed"),
        ("shl.b16 %h1, %h1, %h1;", "%h1: a register of 16 bits stands where a register of 32 bits is needed"),
    ] {
        let text = module(&format!(
            ".visible .entry k(.param .u64 x) {{ .reg .pred %p<2>; .reg .b16 %h<2>; .reg .b32 %r<3>; .reg .b64 %rd<2>;
             .shared .align 16 .b8 tile[64];\n{instruction}\nret; }}"
        ));
        let error = refused(&text);
        assert!(error.ends_with(&format!("{instruction}: {why}")), "{error}");
    }
}

#[test]
fn stack_frames_of_ctas_that_run_together_are_bounded() {
    let kernel = |instruction: &str| {
        module(&format!(
            ".visible .entry k(.param .u64 x) {{ .reg .b32 %r<3>; .reg .b64 %rd<3>; .local .align 8 .b8 frame[524288];
             ld.param.u64 %rd1, [x]; mov.u32 %r1, 7; {instruction} st.local.u32 [frame], %r1; ret; }}"
        ))
    };
    // CTAs that may wait for each other are there together, 132 of them.
    let text = kernel("atom.global.add.u32 %r1, [%rd1], 1;");
    let start = Instant::now();
    let error = launch(&text, [200, 1, 1], [1024, 1, 1]).unwrap_err();
    assert!(matches!(error, LaunchError::Refused { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("132 CTAs at once would take 88") && said.contains("a stack frame of 524288 bytes"),
        "{said}"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
    launch(&text, [4, 1, 1], [64, 1, 1]).unwrap();
    // Others run one after the other, on as many host threads as there is room for.
    launch(&kernel(""), [20, 1, 1], [64, 1, 1]).unwrap();
}

#[test]
fn variables_that_are_too_large_are_refused_with_their_bytes() {
    let entry = |params: &str, body: &str| module(&format!(".visible .entry k({params}) {{ {body} ret; }}"));
    for (text, wanted) in [
        (entry(".param .align 8 .b8 x[40000]", ""), "40000 bytes of parameters; a kernel has at most 32764"),
        (entry(".param .align 8 .b8 x[18446744073709551608]", ""), "18446744073709551608 bytes of parameters"),
        (entry("", ".shared .b8 s[1000000];"), "take 1000016 bytes of shared memory; a CTA has at most 262144"),
        (entry("", ".local .b8 s[1000000];"), "take 1000000 bytes of local memory; a thread has at most 524288"),
        (entry("", ".local .b8 s[4294967296]; .local .b8 t[18446744073709551615];"), "bytes of local memory"),
        (module(".const .b8 c[70000]; .visible .entry k() { ret; }"), "take 70000 bytes; a module has at most 65536"),
        (entry("", ".reg .b32 %r<2000000000>;"), "has more than 1048576 registers"),
    ] {
        let error = refused(&text);
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn launches_that_no_gpu_has_are_refused() {
    let text = module(".visible .entry k(.param .u64 x) { ret; }");
    for (grid, block, wanted) in [
        ([1, 65_536, 1], [32, 1, 1], "along y it has at most 65535"),
        ([1, 1, 70_000], [32, 1, 1], "along z it has at most 65535"),
        ([1 << 31, 1, 1], [32, 1, 1], "along x it has at most 2147483647"),
        ([i32::MAX as u32, 65_535, 65_535], [32, 1, 1], "at most 4294967295 run"),
        ([1, 1, 1], [1, 1, 65], "along z it has at most 64"),
        ([1, 1, 1], [u32::MAX, u32::MAX, 2], "it has 1 to 1024"),
    ] {
        let error = launch(&text, grid, block).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    // A limit that is larger than any number of threads.
    let text = module(".visible .entry k(.param .u64 x) .maxntid 65536, 65536, 65536 { ret; }");
    launch(&text, [1, 1, 1], [32, 1, 1]).unwrap();
}

#[test]
fn decoding_takes_time_that_grows_with_the_text() {
    let time = |name: &str, body: &str| {
        let declared = ".reg .pred %p<1000000>; .reg .b32 %r<1000000>; .reg .b64 %rd<3>;";
        let text = module(&format!(".visible .entry k(.param .u64 x) {{ {declared}\n{body}\nEND: ret; }}"));
        let start = Instant::now();
        let loaded = Program::load(&text).unwrap().kernel("k").map(|_| ());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
        loaded
    };
    let lines = |line: &dyn Fn(usize) -> String| {
        (0..40_000).fold(String::new(), |mut text, at| {
            let _ = writeln!(text, "{}", line(at));
            text
        })
    };
    time("endless loops", &lines(&|at| format!("@%p1 bra L{at}; bra M{at}; L{at}: bra L{at}; M{at}:"))).unwrap();
    // As many registers as blocks, each alive in all of them: more than can be followed, and more than there are rows.
    let mut crowd = lines(&|at| format!("mov.u32 %r{at}, 7;"));
    crowd += &lines(&|_| "@%p1 bra END; add.u32 %r0, %r0, 7;".to_owned());
    crowd += &lines(&|at| format!("add.u32 %r0, %r0, %r{at};"));
    let error = time("registers", &crowd).unwrap_err().to_string();
    assert!(error.contains("registers are alive at once"), "{error}");
    time("short lives", &lines(&|at| format!("mov.u32 %r{at}, 7; @%p1 bra L{at}; add.u32 %r0, %r0, %r{at}; L{at}:")))
        .unwrap();
}

#[test]
fn shared_memory_is_what_the_target_has() {
    for (target, kilobytes) in [("sm_80", 163), ("sm_86", 99), ("sm_89", 99), ("sm_90a", 227), ("sm_120", 99)] {
        let text = format!(
            ".version 8.8\n.target {target}\n.address_size 64
.extern .shared .align 16 .b8 dynamic[];
.visible .entry k() {{ .shared .align 16 .b8 own[1024]; .reg .b32 %r<2>; mov.u32 %r0, own; mov.u32 %r1, dynamic; ret; }}"
        );
        let kernel = Program::load(&text).unwrap().kernel("k").unwrap();
        let launch = |dynamic_shared| {
            let launch = Launch { grid: [1; 3], block: [32, 1, 1], dynamic_shared, params: &[] };
            kernel.launch(&Memory::new(), &launch, &Options::default())
        };
        launch((kilobytes - 1) * 1024).unwrap();
        let error = launch((kilobytes - 1) * 1024 + 16).unwrap_err().to_string();
        let most = kilobytes * 1024;
        let words = format!("would take {} bytes of shared memory; {target} has {most}", most + 16);
        assert!(error.contains(&words), "no {words:?} in {error}");
    }
}
