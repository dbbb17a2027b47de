//! The order in which a strategy that permutes has its tokens stored, by walking the tiles.

use sparsym::ir::bind::{Bindings, InputData};
use sparsym::ir::strategy::{Grid, Permute};
use sparsym::ir::tensor::Data;
use sparsym::ir::{AttentionOutput, Bound, Tensor};

use crate::data::Tensors;

/// For each stored token of the batch the caller's.
pub struct StoredOrder {
    rows: Vec<usize>,
    n: usize,
}

impl StoredOrder {
    /// Of a strategy; None if it permutes nothing.
    pub fn of(bound: &Bound<'_>) -> Option<StoredOrder> {
        let (problem, strategy) = (bound.problem, bound.strategy);
        let n = problem.n_q;
        let mut item: Vec<usize> = (0..n).collect();
        let mut rows: Vec<usize> = Vec::new();
        match strategy.permute? {
            Permute::Index(id) => {
                let values = &bound.bindings.inputs[id.0].values;
                rows.extend(values.iter().enumerate().map(|(row, &token)| row / n * n + token as usize));
                return Some(StoredOrder { rows, n });
            }
            Permute::Tiles(id) => {
                let name = &strategy.tokens[id.0].name;
                let (start, range) = problem.layout.find(name).expect("the grid has a place");
                let ([t, h, w], Some(Grid::Tiled(tile))) = (range.grid.expect("extents"), strategy.tokens[id.0].grid)
                else {
                    panic!("only tiled grids are permuted by tile")
                };
                let [tile_t, tile_h, tile_w] = tile.map(|extent| extent as usize);
                let mut next = start;
                for corner_t in (0..t).step_by(tile_t) {
                    for corner_h in (0..h).step_by(tile_h) {
                        for corner_w in (0..w).step_by(tile_w) {
                            for at_t in corner_t..corner_t + tile_t {
                                for at_h in corner_h..corner_h + tile_h {
                                    for at_w in corner_w..corner_w + tile_w {
                                        item[next] = start + at_t * h * w + at_h * w + at_w;
                                        next += 1;
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        (0..problem.batch).for_each(|b| rows.extend(item.iter().map(|token| b * n + token)));
        Some(StoredOrder { rows, n })
    }

    /// Tensors as they are stored.
    pub fn tensors(&self, tensors: &Tensors) -> Tensors {
        Tensors {
            q: self.tensor(&tensors.q),
            k: self.tensor(&tensors.k),
            v: self.tensor(&tensors.v),
            features: tensors.features.iter().map(|feature| self.tensor(feature)).collect(),
            coefficients: tensors.coefficients.clone(),
        }
    }

    /// Inputs as they are stored.
    pub fn bindings(&self, bindings: &Bindings) -> Bindings {
        let stored = |input: &InputData| InputData { values: self.rows.iter().map(|&row| input.values[row]).collect() };
        Bindings { inputs: bindings.inputs.iter().map(stored).collect(), ..bindings.clone() }
    }

    /// An output in the caller's order as it would be stored.
    pub fn output(&self, output: &AttentionOutput) -> AttentionOutput {
        let heads = output.lse.len() / self.rows.len().max(1);
        let lse = |at: usize| {
            let (item, head, token) = (at / (heads * self.n), at / self.n % heads, at % self.n);
            output.lse[(item * heads + head) * self.n + self.rows[item * self.n + token] % self.n]
        };
        AttentionOutput { o: self.tensor(&output.o), lse: (0..output.lse.len()).map(lse).collect() }
    }

    fn tensor(&self, tensor: &Tensor) -> Tensor {
        let width = tensor.shape[2..].iter().product();
        let data = match &tensor.data {
            Data::F32(values) => Data::F32(self.take(values, width)),
            Data::F16(values) => Data::F16(self.take(values, width)),
            Data::Bf16(values) => Data::Bf16(self.take(values, width)),
        };
        Tensor { shape: tensor.shape.clone(), data }
    }

    fn take<T: Copy>(&self, values: &[T], width: usize) -> Vec<T> {
        self.rows.iter().flat_map(|row| values[row * width..][..width].to_vec()).collect()
    }
}
