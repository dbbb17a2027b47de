//! Any bytes: every kernel that loads runs to its end, a trap, a refusal or the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ptx_emulator::{Launch, Memory, Options, Program};

fuzz_target!(|text: &str| {
    let Ok(program) = Program::load(text) else { return };
    for kernel in program.names().filter_map(|name| program.kernel(name).ok()) {
        let mut memory = Memory::new();
        let buffer = memory.upload("buffer", &[1; 4096]);
        // Every eight bytes of the parameters point to the buffer.
        let params = buffer.address().to_le_bytes().repeat(kernel.param_bytes().div_ceil(8));
        let launch =
            Launch { grid: [2, 1, 1], block: [64, 1, 1], dynamic_shared: 1024, params: &params[..kernel.param_bytes()] };
        let options = Options { threads: 1, limit: 20_000, ..Options::default() };
        let _ = kernel.launch(&memory, &launch, &options);
    }
});
