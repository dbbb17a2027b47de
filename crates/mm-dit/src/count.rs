//! What a step of a layer computes and moves, room by room, at any shape; and the time that a roofline gives it.

use sparsym::engine::StepKind;

use crate::Shape;

/// Names of the rooms, in order.
pub const ROOMS: [&str; 4] = ["gemm_q", "symbols", "attention", "gemm_o"];
/// Bytes of an element of activations and weights.
const ELEMENT: f64 = 2.0;

/// What one step of a layer asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepWork {
    /// Its kind.
    pub kind: StepKind,
    /// Of a Dispatch the order of its forecast, of an Update that of the Dispatches after it; None without any.
    pub order: Option<u32>,
    /// Share of ones of S_c.
    pub density_c: f64,
    /// Share of block pairs that are computed: S_s, and at a Dispatch S_s ∧ S_c.
    pub density_s: f64,
    /// Whether symbols are made from Q and K at Updates.
    pub reads_data: bool,
}

/// Work of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Multiply-adds, times two.
    pub flops: f64,
    /// Bytes that must move between memory and chip if nothing is read twice.
    pub bytes: f64,
}

/// Speeds of a GPU.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// What these are the speeds of.
    pub name: &'static str,
    /// FLOP/s of the kernels of each room while they compute.
    pub flops: [f64; 4],
    /// Bytes a second.
    pub bytes: f64,
}

impl Machine {
    /// An H100 SXM with this project's kernels, as this block measured them in a dense run at FLUX's 4608 tokens;
    /// docs/benchmarks.md. Symbols compute with ordinary floats, at a guess.
    pub const H100: Machine = Machine { name: "H100", flops: [323e12, 20e12, 336e12, 340e12], bytes: 3.0e12 };

    /// Seconds of some work: what takes longer, computing or moving.
    pub fn seconds(&self, room: usize, work: Work) -> f64 {
        (work.flops / self.flops[room]).max(work.bytes / self.bytes)
    }
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        self.flops += other.flops;
        self.bytes += other.bytes;
    }
}

/// The four rooms of one step of a single-stream layer. A double-stream layer does the same, with twice the weights.
pub fn step(shape: &Shape, of: &StepWork) -> [Work; 4] {
    let [n, c, inner] = [shape.tokens(), shape.width, shape.heads * shape.head_dim].map(|extent| extent as f64);
    let (d_c, d_s) = match of.kind {
        StepKind::Update => (1.0, of.density_s),
        StepKind::Dispatch => (of.density_c, of.density_s),
        StepKind::Dense => (1.0, 1.0),
    };
    let orders = of.order.map_or(0.0, |order| f64::from(order) + 1.0);
    let idle = of.kind == StepKind::Dispatch && d_c == 0.0;
    let (rows, weights) = (ELEMENT * n * inner, ELEMENT * c * inner);
    let product = 2.0 * n * c * inner;

    let projected = if idle { 0.0 } else { 2.0 + d_c };
    let gemm_q = Work {
        flops: projected * product,
        bytes: if idle { 0.0 } else { ELEMENT * n * c + 3.0 * weights + projected * rows },
    };
    let makes_symbols = of.reads_data && of.kind == StepKind::Update;
    let blocks = n / f64::from(shape.block);
    let heads = shape.heads as f64;
    let symbols = match makes_symbols {
        true => Work {
            flops: 2.0 * blocks * blocks * inner,
            bytes: heads * (8.0 * blocks * shape.head_dim as f64 + 8.0 * blocks * blocks),
        },
        false => Work::default(),
    };
    let attention =
        Work { flops: 4.0 * n * n * inner * d_s, bytes: if idle { 0.0 } else { 2.0 * rows + 2.0 * d_c * rows } };
    // Differences of order 1 and more of the cached heads are products of their own, at Updates.
    let differences = if of.kind == StepKind::Update { (orders - 1.0).max(0.0) * (1.0 - of.density_c) } else { 0.0 };
    let partials = orders * ELEMENT * n * c;
    let gemm_o = Work {
        flops: (d_c + differences) * product,
        bytes: (d_c + 3.0 * differences) * rows + weights + ELEMENT * n * c + partials,
    };
    [gemm_q, symbols, attention, gemm_o]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispatch_costs_its_density() {
        let of = |kind, density_c, density_s| StepWork { kind, order: None, density_c, density_s, reads_data: true };
        let dense = step(&Shape::FLUX_1K, &of(StepKind::Dense, 1.0, 1.0));
        let half = step(&Shape::FLUX_1K, &of(StepKind::Dispatch, 0.5, 0.25));
        assert_eq!(half[0].flops / dense[0].flops, 2.5 / 3.0); // K and V are never sparse
        assert_eq!(half[2].flops / dense[2].flops, 0.25);
        assert_eq!(half[3].flops / dense[3].flops, 0.5);
        let nothing = step(&Shape::FLUX_1K, &of(StepKind::Dispatch, 0.0, 0.0));
        assert!(nothing.iter().all(|work| work.flops == 0.0) && nothing[0].bytes == 0.0);
    }

    #[test]
    fn flux_at_1k_is_known() {
        let of = StepWork { kind: StepKind::Dense, order: None, density_c: 1.0, density_s: 1.0, reads_data: false };
        let dense = step(&Shape::FLUX_1K, &of);
        assert_eq!(dense[2].flops, 4.0 * 4608.0 * 4608.0 * 3072.0);
        assert_eq!(dense[3].flops, 2.0 * 4608.0 * 3072.0 * 3072.0);
    }
}
