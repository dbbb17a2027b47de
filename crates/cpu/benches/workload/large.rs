//! The rate that products are measured by.

/// Extent of the large square product.
const LARGE: usize = 3072;

/// A large product of the GEMM crate on all threads.
pub(crate) struct LargeProduct {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl LargeProduct {
    /// With matrices of its own.
    pub(crate) fn new() -> LargeProduct {
        let floats = LARGE * LARGE;
        LargeProduct { a: vec![0.5; floats], b: vec![0.25; floats], c: vec![0.0; floats] }
    }

    /// Floating-point operations of a run.
    pub(crate) fn flops(&self) -> f64 {
        2.0 * (LARGE as f64).powi(3)
    }

    /// C = A·B, square and row-major; to its columns Cᵀ = Bᵀ·Aᵀ.
    pub(crate) fn run(&mut self) {
        let (n, stride, LargeProduct { a, b, c }) = (LARGE, LARGE as isize, self);
        assert!([a.len(), b.len(), c.len()] == [n * n; 3]);
        // SAFETY: the three slices hold n·n initialised floats each, rows are n apart, and C is borrowed mutably.
        unsafe {
            gemm_f32::gemm::f32::get_gemm_fn()(
                n,
                n,
                n,
                c.as_mut_ptr(),
                stride,
                1,
                false,
                b.as_ptr(),
                stride,
                1,
                a.as_ptr(),
                stride,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm_common::Parallelism::Rayon(0),
            );
        }
        std::hint::black_box(c);
    }
}
