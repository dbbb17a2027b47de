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
    // Its microkernels prefer results by columns, so it gets Cᵀ = Bᵀ·Aᵀ, as `gemm` itself would pass it on.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            n,
            m,
            k,
            c.as_mut_ptr(),
            c_stride as isize,
            1,
            target == Target::Add,
            b.data.as_ptr(),
            b.stride as isize,
            1,
            a.data.as_ptr(),
            a.stride as isize,
            1,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, so that sums are exact whatever their order.
    #[test]
    fn products_are_those_of_the_definition() {
        let numbers = |len: usize, seed: usize| -> Vec<f32> {
            (0..len).map(|at| ((at * 7 + seed * 13) % 31) as f32 - 15.0).collect()
        };
        for [m, n, k] in [[1, 1, 1], [1, 5, 3], [5, 1, 9], [16, 16, 16], [33, 7, 65], [64, 128, 64], [3, 200, 0]] {
            for (target, spare) in [(Target::Overwrite, 0), (Target::Overwrite, 3), (Target::Add, 0), (Target::Add, 3)]
            {
                let [a_stride, b_stride, c_stride] = [k, n, n].map(|extent| extent + spare);
                let (a, b, old) = (numbers(m * a_stride, 1), numbers(k * b_stride, 2), numbers(m * c_stride, 3));
                let mut c = old.clone();
                let [left, right] = [Matrix { data: &a, stride: a_stride }, Matrix { data: &b, stride: b_stride }];
                multiply([m, n, k], left, right, &mut c, c_stride, target);
                for (at, (&found, &old)) in c.iter().zip(&old).enumerate() {
                    let (row, column) = (at / c_stride, at % c_stride);
                    let sum: f32 = (0..k).map(|i| a[row * a_stride + i] * b[i * b_stride + column.min(n - 1)]).sum();
                    let expected = match target {
                        _ if column >= n => old,
                        Target::Overwrite => sum,
                        Target::Add => old + sum,
                    };
                    assert_eq!(found, expected, "{m} x {n} x {k}, row {row}, column {column}");
                }
            }
        }
    }
}
