//! A kernel on its way: CUDA text, machine code, and a run on the emulator, which needs no GPU and stops at any mistake.
//! `cargo run -p sparsym --example kernel` needs a libnvrtc: `pip install nvidia-cuda-nvrtc`, or `SPARSYM_NVRTC`.

use sparsym::kernel::{Compiler, Request, Room, Target};
use sparsym::prelude::*;

strategy! {
    /// Tokens see earlier ones.
    pub Earlier {
        mask q, kv => kv.pos <= q.pos;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Text: one for all lengths, batches and heads.
    let target = Target::parse("sm_80")?;
    let request = Request { head_dim: 64, ..Request::new(Earlier::ir(), Room::Attention, target) };
    let compiler = Compiler::new()?;
    let (kernel, compiled) = compiler.fitting(&request, "earlier")?;
    for line in kernel.source.lines().take_while(|line| line.starts_with("//")) {
        println!("{line}");
    }
    println!("… {} lines in all", kernel.source.lines().count());

    // Machine code for a GPU, and PTX.
    let resources = &compiled.image.resources[&kernel.name];
    let ((major, minor), bytes) = (compiler.nvrtc().version(), compiled.image.cubin.len());
    println!("cubin of {bytes} bytes by NVRTC {major}.{minor}: {} registers, no spills", resources.registers);
    assert!(compiled.image.cubin.starts_with(b"\x7fELF") && compiled.image.spills().is_none());

    // A run: the same call on the emulator and on the CPU.
    let problem = Problem::self_attention(1, 256, 2, 64);
    let bindings = Earlier::default().bindings()?;
    let (bound, moment) = (Bound::new(Earlier::ir(), &problem, &bindings)?, Moment::default());
    let tensor = |seed: f32| {
        let values: Vec<f32> = (0..256 * 2 * 64).map(|at| (at as f32 * seed).sin()).collect();
        Tensor::from_f32(&problem.q_shape(), DType::Bf16, &values)
    };
    let [q, k, v] = [0.37, 0.71, 1.13].map(tensor);
    let mut outputs = Vec::new();
    for name in ["emulator", "cpu"] {
        let device = device::open(name)?;
        let symbols = device.symbols(&SymbolsCall::without_data(&bound, moment))?;
        let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols: &symbols, forecast: None };
        let measured = device.measured_attention(&call)?;
        if let Some(stats) = &measured.cost.stats {
            let (flops, conflicts) = (stats.mma_flops, stats.bank_conflicts());
            println!("emulated: {flops} flops of mma, {conflicts} bank conflicts, {} bytes", stats.global_bytes());
            assert_eq!((flops % 4096, conflicts), (0, 0));
        }
        outputs.push(measured.value.o.to_f32());
    }
    let apart = outputs[0].iter().zip(&outputs[1]).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    println!("the emulator's O and the CPU's are at most {apart:.4} apart");
    assert!(apart < 0.02, "a rounding of bf16");
    Ok(())
}

#[test]
fn it_shows_what_it_says() {
    main().unwrap();
}
