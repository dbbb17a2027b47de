//! What the tests of kernels share.

pub(crate) mod product;

use std::path::Path;

use ptx_emulator::{Launch, LaunchError, Memory, Options, Program, Stats, Trap};

/// A text of `tests/ptx`.
#[allow(dead_code)]
pub(crate) fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ptx").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A module with one kernel `k` whose parameters are pointers, already in `%given` and `%out`, and the thread's index along
/// x in `%t`; `%r0` to `%r15`, `%l0` to `%l7` and `%p0` to `%p7` are free, and `tile` is 1 KiB of shared memory.
#[allow(dead_code)]
pub(crate) fn kernel(body: &str) -> String {
    format!(
        ".version 8.8\n.target sm_90\n.address_size 64
.visible .entry k(.param .u64 given, .param .u64 out) {{
    .reg .pred %p<8>;
    .reg .b32 %t, %r<16>;
    .reg .b64 %given, %out, %l<8>;
    .shared .align 16 .b8 tile[1024];
    ld.param.u64 %given, [given];
    ld.param.u64 %out, [out];
    mov.u32 %t, %tid.x;
{body}
    ret;
}}"
    )
}

/// Runs a kernel of two pointers, and gives the words of the second.
pub(crate) fn run(
    text: &str,
    name: &str,
    [grid, block]: [u32; 2],
    given: &[u32],
    out: usize,
    options: &Options,
) -> Result<(Vec<u32>, Stats), LaunchError> {
    let mut memory = Memory::new();
    let given = memory.upload_constant("given", &given.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
    let out = memory.upload("out", &vec![0; 4 * out]);
    let program = Program::load(text).unwrap_or_else(|error| panic!("{error}"));
    let kernel = program.kernel(name).unwrap_or_else(|error| panic!("{error}"));
    let pointers = [given.address(), out.address()];
    // A kernel of one pointer takes the output.
    let params: Vec<u8> =
        pointers[2 - kernel.param_bytes() / 8..].iter().flat_map(|pointer| pointer.to_le_bytes()).collect();
    let launch = Launch { grid: [grid, 1, 1], block: [block, 1, 1], dynamic_shared: 0, params: &params };
    let stats = kernel.launch(&memory, &launch, options)?;
    let words = memory.download(out).chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    Ok((words, stats))
}

/// The trap of a kernel that must not end well.
#[allow(dead_code)]
pub(crate) fn trap(body: &str, shape: [u32; 2]) -> Box<Trap> {
    match run(&kernel(body), "k", shape, &[7; 32], 64, &Options { limit: 100_000, ..Options::default() }) {
        Err(LaunchError::Trap(trap)) => trap,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("no trap in\n{body}"),
    }
}
