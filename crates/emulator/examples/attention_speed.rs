//! Warp instructions a second on a portable attention kernel: `cargo run -p ptx-emulator --example attention_speed`.
//!
//! Scored attention of 2 heads × 512 × 512 × 128 in bf16, the text of `tests/ptx-input`. An argument `none`, `memory` or `all`
//! picks one row, for a profiler.

use std::time::Instant;

use ptx_emulator::{Checks, Launch, Memory, Options, Program};

const TOKENS: u32 = 512;
const HEADS: u32 = 2;
const HEAD_DIM: u32 = 128;
const BLOCK: u32 = 128;
/// Launches of a row.
const RUNS: usize = 60;

fn main() {
    let program =
        Program::load(include_str!("../tests/ptx-input/softcap_attention_sm_80.ptx")).expect("the text is PTX");
    let kernel = program.kernel("attention_scored_d128_bf16").expect("every instruction is known");
    let mut memory = Memory::new();
    let elements = (TOKENS * HEADS * HEAD_DIM) as usize;
    // Numbers between 0.5 and 1 with both signs, by a linear congruence.
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (0x3F00 | (state >> 16 & 0x80FF) as u16).to_le_bytes()
    };
    let mut pointers = Vec::new();
    for name in ["q", "k", "v"] {
        let bytes: Vec<u8> = (0..elements).flat_map(|_| noise()).collect();
        pointers.push(memory.upload_constant(name, &bytes));
    }
    for (name, rows) in [("s_c", TOKENS / BLOCK), ("s_s", HEADS * TOKENS / BLOCK)] {
        pointers.push(memory.upload_constant(name, &vec![0xFF; 16 * rows as usize]));
    }
    pointers.push(memory.alloc("o", 2 * elements));
    pointers.push(memory.alloc("lse", 4 * (TOKENS * HEADS) as usize));
    let mut params: Vec<u8> = pointers.iter().flat_map(|pointer| pointer.address().to_le_bytes()).collect();
    let blocks = TOKENS / BLOCK;
    for number in [TOKENS, TOKENS, HEADS, HEADS, 1, blocks, blocks] {
        params.extend(number.to_le_bytes());
    }
    for number in [0.088_388_35f32, 30.0] {
        params.extend(number.to_le_bytes());
    }
    params.resize(kernel.param_bytes(), 0);
    let launch = Launch { grid: [blocks, HEADS, 1], block: [128, 1, 1], dynamic_shared: 65_552, params: &params };
    let picked = std::env::args().nth(1);
    for (name, checks) in [("none", Checks::None), ("memory", Checks::Memory), ("all", Checks::All)] {
        if picked.as_ref().is_some_and(|picked| picked != name) {
            continue;
        }
        let options = Options { checks, threads: 1, ..Options::default() };
        let mut times: Vec<f64> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                kernel.launch(&memory, &launch, &options).expect("the kernel is right");
                start.elapsed().as_secs_f64()
            })
            .collect();
        let stats = kernel.launch(&memory, &launch, &options).expect("the kernel is right");
        times.sort_by(f64::total_cmp);
        let rate = |seconds: f64| stats.warp_instructions as f64 / seconds / 1e6;
        let (best, mean) = (times[0], times.iter().sum::<f64>() / times.len() as f64);
        println!(
            "checks {name:<6} {} warp instructions: best {:.1} ms, {:.1} M/s; mean {:.1} ms, {:.1} M/s",
            stats.warp_instructions,
            best * 1e3,
            rate(best),
            mean * 1e3,
            rate(mean),
        );
    }
}
