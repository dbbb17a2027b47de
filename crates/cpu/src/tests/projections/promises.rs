//! What the documentation says of threads, mistakes, and weights that do not fit at once.

use sparsym_ir::projection::{RopePairs, Stream, Summed};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::{Code, DType, Tensor};

use super::{CaseO, CaseQ, noise};
use crate::weights::WEIGHT_BYTES;
use crate::{differences, gemm_o, gemm_q};

fn stream() -> Stream {
    Stream { batch: 2, tokens: 230, first: 32, rows: 198, width: 140, heads: 3, head_dim: 24, block: 32 }
}

/// A third of the tiles is cached.
fn thirds(stream: &Stream) -> CacheSymbol {
    let tiles = stream.batch * stream.heads * stream.blocks();
    let bytes: Vec<u8> = (0..tiles).map(|n| u8::from(n % 3 != 1)).collect();
    CacheSymbol::pack(stream.batch, stream.heads, stream.blocks(), &bytes)
}

fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn the_number_of_threads_does_not_show() {
    let stream = stream();
    for dtype in [DType::F32, DType::Bf16] {
        let mut q = CaseQ::new(stream, dtype, 1);
        q.s_c = Some(thirds(&stream));
        q.norm = Some(noise(&[24], dtype, 2));
        let tables = [3, 4].map(|seed| noise(&[230, 12], DType::F32, seed));
        q.rope = Some((tables, RopePairs::Half));
        q.means = Some(noise(&[2, 3, 8, 24], DType::F32, 5));
        q.check();
        assert_eq!(with_threads(1, || q.run()), with_threads(7, || q.run()));

        let mut o = CaseO::new(stream, dtype, 6);
        o.outputs.push(noise(&stream.head_shape(), dtype, 7));
        (o.s_c, o.summed) = (Some(thirds(&stream)), Summed::Both);
        o.check();
        assert_eq!(with_threads(1, || o.run()), with_threads(7, || o.run()));
        assert_eq!(with_threads(1, || o.run_differences()), with_threads(7, || o.run_differences()));
    }
}

#[test]
fn weights_that_do_not_fit_at_once_come_in_parts() {
    let width = WEIGHT_BYTES / size_of::<f32>() / 256 / 4 * 3;
    let stream = Stream { batch: 1, tokens: 2, first: 0, rows: 2, width, heads: 2, head_dim: 256, block: 1 };
    let mut q = CaseQ::new(stream, DType::F16, 1);
    q.s_c = Some(CacheSymbol::pack(1, 2, 2, &[1, 0, 0, 1]));
    q.check();
    let mut o = CaseO::new(stream, DType::F16, 2);
    (o.s_c, o.summed) = (q.s_c.clone(), Summed::Both);
    o.check();
}

#[test]
fn mistakes_are_findings() {
    let code = |found: Result<(), sparsym_ir::Findings>| found.unwrap_err().iter().next().unwrap().code;
    let (stream, s_c) = (stream(), CacheSymbol::ones(2, 3, 7));
    let mut place = Tensor::zeros(&[1], DType::F32);
    let mut q = CaseQ::new(stream, DType::F32, 1);
    assert_eq!(code(gemm_q(&q.call(), &mut place, None)), Code::TensorShape);
    q.s_c = Some(s_c.clone());
    assert_eq!(code(gemm_q(&q.call(), &mut q.q.clone(), None)), Code::SymbolShape);
    q.stream.block = 0;
    assert_eq!(code(gemm_q(&q.call(), &mut q.q.clone(), Some(&mut place))), Code::BlockSize);

    let mut o = CaseO::new(stream, DType::F32, 1);
    let mut y = o.places().0;
    assert_eq!(code(gemm_o(&o.call(), &mut place, None)), Code::TensorShape);
    assert_eq!(code(gemm_o(&o.call(), &mut y, Some(&mut place))), Code::TensorShape);
    o.outputs.push(noise(&stream.head_shape(), DType::F32, 2));
    o.s_c = Some(s_c);
    assert_eq!(code(gemm_o(&o.call(), &mut y, None)), Code::SymbolShape);
    assert_eq!(code(differences(&o.differences(), &mut [])), Code::CacheMissing);
    assert_eq!(code(differences(&o.differences(), &mut [&mut y])), Code::SymbolShape);
}
