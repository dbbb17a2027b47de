//! How long a `wgmma` takes beside its bare multiply-adds: `cargo run -p ptx-emulator --example wgmma_speed`.
//!
//! Four m64n128k16 make a group, as in a step of 64 of the depth. The bare product multiplies the same matrices, which lie
//! ready as f32 in the caches, with as much of the host's vector units as a plain loop over blocks of registers gets.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use ptx_emulator::{Checks, Launch, Memory, Options, Program};

const ROWS: usize = 64;
const COLUMNS: usize = 128;
const DEPTH: usize = 16;
/// Products of a group, groups of a launch, and how often each is measured.
const PRODUCTS: usize = 4;
const GROUPS: usize = 64;
const RUNS: usize = 40;

fn main() {
    let bare = best(|| {
        for _ in 0..GROUPS * PRODUCTS {
            multiply();
        }
    });
    println!("bare multiply-adds: {:.2} µs, {:.0} GFLOP/s", bare * 1e6, flops() / bare / 1e9);
    for (name, checks) in [("no checks", Checks::None), ("reads checked", Checks::Memory), ("all checks", Checks::All)]
    {
        let program = Program::load(&kernel()).expect("the text is PTX");
        let kernel = program.kernel("k").expect("every instruction is known");
        let memory = Memory::new();
        let launch = Launch { grid: [1, 1, 1], block: [128, 1, 1], dynamic_shared: 0, params: &[] };
        let options = Options { checks, threads: 1, ..Options::default() };
        let time = best(|| {
            kernel.launch(&memory, &launch, &options).expect("it does nothing wrong");
        });
        println!("wgmma, {name}: {:.2} µs, {:.2} of the bare time", time * 1e6, time / bare);
    }
}

fn flops() -> f64 {
    (2 * ROWS * COLUMNS * DEPTH) as f64
}

/// Seconds of one product, by the fastest run: others use this machine too.
fn best(mut run: impl FnMut()) -> f64 {
    let mut time = || {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..RUNS).map(|_| time()).fold(f64::INFINITY, f64::min) / (GROUPS * PRODUCTS) as f64
}

/// The products of [`GROUPS`] groups, by one warpgroup.
fn kernel() -> String {
    let sums: Vec<String> = (0..COLUMNS / 2).map(|at| format!("%d{at}")).collect();
    let mut text = String::from(
        ".version 8.8\n.target sm_90a\n.address_size 64\n.visible .entry k() {
    .reg .pred %p, %q;
    .reg .b32 %t, %r<4>, %d<64>;
    .reg .b64 %a<4>, %b<4>;
    .shared .align 1024 .b8 tile[24576];
    mov.u32 %t, %tid.x;
    mov.u32 %r0, %t;
FILL:
    mad.lo.u32 %r1, %r0, 16, tile;
    mov.u32 %r2, 0x3F803F80;
    st.shared.v4.u32 [%r1], {%r2, %r2, %r2, %r2};
    add.u32 %r0, %r0, 128;
    setp.lt.u32 %p, %r0, 1536;
    @%p bra FILL;
    fence.proxy.async.shared::cta;
    bar.sync 0;
    mov.u32 %r0, tile;
    shr.u32 %r0, %r0, 4;
    cvt.u64.u32 %a0, %r0;
    add.s64 %a0, %a0, 0x4000004000010000;
    add.s64 %b0, %a0, 512;
",
    );
    for step in 1..PRODUCTS {
        let _ = writeln!(text, "add.s64 %a{step}, %a0, {0}; add.s64 %b{step}, %b0, {0};", 2 * step);
    }
    for sum in &sums {
        let _ = writeln!(text, "mov.b32 {sum}, 0;");
    }
    let _ = writeln!(text, "setp.eq.u32 %p, 0, 0; mov.u32 %r2, 0;\nLOOP: wgmma.fence.sync.aligned;");
    for step in 0..PRODUCTS {
        let _ = writeln!(
            text,
            "wgmma.mma_async.sync.aligned.m64n{COLUMNS}k{DEPTH}.f32.bf16.bf16 {{{}}}, %a{step}, %b{step}, %p, 1, 1, 0, 0;",
            sums.join(", ")
        );
    }
    text + &format!(
        "wgmma.commit_group.sync.aligned;
    wgmma.wait_group.sync.aligned 0;
    add.u32 %r2, %r2, 1;
    setp.lt.u32 %q, %r2, {GROUPS};
    @%q bra LOOP;
    ret;
}}"
    )
}

/// The same product, of matrices that lie ready.
fn multiply() {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[target_feature(enable = "avx2,fma")]
        fn fast() {
            blocks();
        }
        // SAFETY: the host has the features.
        #[allow(unsafe_code)]
        return unsafe { fast() };
    }
    blocks();
}

#[inline(always)]
fn blocks() {
    static A: [[f32; DEPTH]; ROWS] = [[1.0; DEPTH]; ROWS];
    static B: [[f32; COLUMNS]; DEPTH] = [[1.0; COLUMNS]; DEPTH];
    let (a, b) = (black_box(&A), black_box(&B));
    let mut d = [[0.0f32; COLUMNS]; ROWS];
    for (a, d) in a.as_chunks::<4>().0.iter().zip(d.as_chunks_mut::<4>().0) {
        for column in 0..COLUMNS / 16 {
            let mut sums = [[[0.0f32; 8]; 2]; 4];
            for k in 0..DEPTH {
                let (b, _) = b[k].as_chunks::<8>();
                let b = [b[2 * column], b[2 * column + 1]];
                for (a, sums) in a.iter().zip(&mut sums) {
                    for (b, sums) in b.iter().zip(sums) {
                        for lane in 0..8 {
                            sums[lane] = a[k].mul_add(b[lane], sums[lane]);
                        }
                    }
                }
            }
            for (sums, d) in sums.iter().zip(d.iter_mut()) {
                d[16 * column..16 * column + 16].copy_from_slice(sums.as_flattened());
            }
        }
    }
    black_box(&d);
}
