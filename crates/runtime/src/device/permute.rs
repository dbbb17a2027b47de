//! The order in which tokens are stored, made from the caller's before a call and undone after it.

use sparsym_ir::bind::{Bindings, InputData};
use sparsym_ir::strategy::{InputId, Permute};
use sparsym_ir::tensor::Data;
use sparsym_ir::{AttentionOutput, Bound, Tensor};

/// Rows of `[B, N]` to take, in both directions.
pub(super) struct Permutation {
    /// For each stored token the caller's.
    from_caller: Vec<usize>,
    /// For each token of the caller the stored one.
    from_stored: Vec<usize>,
    n: usize,
}

impl Permutation {
    /// Of this strategy and problem; None if the caller's order is the stored one.
    pub(super) fn of(bound: &Bound<'_>) -> Option<Permutation> {
        let (n, batch) = (bound.problem.n_q, bound.problem.batch);
        let tokens: Vec<usize> = match bound.strategy.permute? {
            Permute::Tiles(_) => {
                let grid = bound.geometry.grid?;
                let raster = |token: usize| match grid.coordinates(token) {
                    Some(([t, h, w], _)) => grid.start + (t * grid.extent[1] + h) * grid.extent[2] + w,
                    None => token,
                };
                (0..batch).flat_map(|_| (0..n).map(raster)).collect()
            }
            Permute::Index(InputId(id)) => bound.bindings.inputs[id].values.iter().map(|&v| v as usize).collect(),
        };
        let from_caller: Vec<usize> = tokens.iter().enumerate().map(|(row, token)| row / n * n + token).collect();
        let mut from_stored = vec![0; from_caller.len()];
        from_caller.iter().enumerate().for_each(|(stored, &caller)| from_stored[caller] = stored);
        Some(Permutation { from_caller, from_stored, n })
    }

    /// Inputs in stored order.
    pub(super) fn bindings(&self, bindings: &Bindings) -> Bindings {
        let input = |input: &InputData| InputData { values: rows(&input.values, &self.from_caller, 1) };
        Bindings { inputs: bindings.inputs.iter().map(input).collect(), ..bindings.clone() }
    }

    /// `[B, N, …]` in stored order.
    pub(super) fn stored(&self, tensor: &Tensor) -> Tensor {
        take(tensor, &self.from_caller)
    }

    /// A result `[B, N, …]` with its lse `[B, H, N]` in the caller's order.
    pub(super) fn callers(&self, output: &AttentionOutput) -> AttentionOutput {
        let heads = output.lse.len() / self.from_stored.len().max(1);
        let mut lse = Vec::with_capacity(output.lse.len());
        for (row, values) in output.lse.chunks_exact(self.n.max(1)).enumerate() {
            let first = row / heads * self.n;
            lse.extend(self.from_stored[first..first + self.n].iter().map(|stored| values[stored - first]));
        }
        AttentionOutput { o: take(&output.o, &self.from_stored), lse }
    }
}

fn take(tensor: &Tensor, order: &[usize]) -> Tensor {
    let width = tensor.shape.iter().skip(2).product();
    let data = match &tensor.data {
        Data::F32(values) => Data::F32(rows(values, order, width)),
        Data::F16(values) => Data::F16(rows(values, order, width)),
        Data::Bf16(values) => Data::Bf16(rows(values, order, width)),
    };
    Tensor { shape: tensor.shape.clone(), data }
}

fn rows<T: Copy>(values: &[T], order: &[usize], width: usize) -> Vec<T> {
    order.iter().flat_map(|&row| values[row * width..(row + 1) * width].iter().copied()).collect()
}
