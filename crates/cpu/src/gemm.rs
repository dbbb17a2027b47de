//! The one call into the GEMM crate, and the only unsafe code of this crate: its interface takes pointers and strides.
//!
//! Two crates were measured on the products of this device, `gemm` and `matrixmultiply`; docs/benchmarks.md has the figures.
#![allow(unsafe_code)]

/// A row-major matrix, or a run of columns of one: row r starts at element `r * stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// From the first element of the first row to at least the last element of the last row.
    pub(crate) data: &'a [f32],
    /// Elements between the starts of two rows.
    pub(crate) stride: usize,
}

/// What happens to the values that the result matrix holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// C = A·B; what C held does not matter, be it NaN.
    Overwrite,
    /// C = C + A·B.
    Add,
}

/// A·B for A `[m, k]`, B `[k, n]` and C `[m, n]`, on the calling thread. `c` has rows of `c_stride` elements, of which the
/// first n are written.
///
/// # Panics
/// If a matrix reaches beyond its slice or the rows of C overlap.
pub(crate) fn multiply([m, n, k]: [usize; 3], a: Matrix, b: Matrix, c: &mut [f32], c_stride: usize, target: Target) {
    let reach = |rows: usize, columns: usize, stride: usize| match rows.checked_sub(1) {
        Some(last) if columns > 0 => last.checked_mul(stride).and_then(|at| at.checked_add(columns)),
        _ => Some(0),
    };
    let inside = |rows, columns, stride, len| reach(rows, columns, stride).is_some_and(|end| end <= len);
    assert!(inside(m, k, a.stride, a.data.len()), "A [{m}, {k}] ends beyond its slice");
    assert!(inside(k, n, b.stride, b.data.len()), "B [{k}, {n}] ends beyond its slice");
    assert!(inside(m, n, c_stride, c.len()) && n <= c_stride, "C [{m}, {n}] does not fit its slice");
    // SAFETY: `gemm` reads A[r·stride + c] and B likewise and reads and writes C[r·c_stride + c] for the row and column
    // ranges given by m, n and k, and touches nothing else. The three assertions show that the largest of these indices
    // lies inside its slice, so they also fit isize. `c` is borrowed mutably, so it overlaps neither A nor B, and its
    // rows do not overlap each other because n <= c_stride. All elements are initialised f32, and any bits are a legal f32.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            c_stride as isize,
            target == Target::Add,
            a.data.as_ptr(),
            1,
            a.stride as isize,
            b.data.as_ptr(),
            1,
            b.stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
