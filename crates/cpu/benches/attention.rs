//! Criterion series over sequence length, head dimension and sparsity. `cargo run --release --example ratios` prints the
//! same series as ratios and judges it.
#![allow(missing_docs)] // criterion's macros make public items

mod workload;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use sparsym_ir::DType;
use workload::{SHAPES, SPARSITIES, Workload};

fn attention(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attention");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for (n, d) in SHAPES {
        let mut workload = Workload::new(n, d, DType::F32);
        for percent in SPARSITIES {
            let symbols = workload.symbols(percent);
            group.throughput(Throughput::Elements(workload.flops(&symbols) as u64));
            let id = BenchmarkId::new(format!("n{n}_d{d}"), format!("{percent}%"));
            group.bench_function(id, |bencher| bencher.iter(|| workload.run(&symbols)));
        }
    }
    group.finish();
}

criterion_group!(benches, attention);
criterion_main!(benches);
