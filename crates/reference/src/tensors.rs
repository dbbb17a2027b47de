//! Q and K of one batch item, f32, head by head: block means, self-similarities, antidiagonal sums.

use std::cell::OnceCell;

use sparsym_ir::expr::Side;
use sparsym_ir::{Problem, Tensor};

/// The tokens of a batch item, as they are and less their mean.
pub(crate) struct Tensors {
    q: Vec<[HeadTokens; 2]>,
    k: Vec<[HeadTokens; 2]>,
}

/// The tokens of one head of Q or K, cut into blocks.
struct HeadTokens {
    tokens: Vec<Vec<f32>>,
    /// Of each block.
    means: Vec<Vec<f32>>,
    /// Of each block, made when it is asked for.
    similarities: Vec<OnceCell<f32>>,
    block: usize,
}

impl Tensors {
    /// Batch item `b` of Q `[B, N, H, D]` and K `[B, N_kv, H_kv, D]`.
    pub(crate) fn new(problem: &Problem, q: &Tensor, k: &Tensor, b: usize) -> Tensors {
        let heads = |tensor: &Tensor, rows: std::ops::Range<usize>, heads: usize, block: u32| {
            let (values, dim) = (tensor.to_f32(), problem.head_dim);
            let token = |row: usize, h: usize| values[(row * heads + h) * dim..][..dim].to_vec();
            let of_head = |h| {
                let tokens: Vec<_> = rows.clone().map(|row| token(row, h)).collect();
                let centered = centered(&tokens);
                [tokens, centered].map(|tokens| HeadTokens::new(tokens, block as usize))
            };
            (0..heads).map(of_head).collect()
        };
        Tensors {
            q: heads(q, problem.q_rows(b), problem.heads, problem.blocks.q),
            k: heads(k, problem.kv_rows(b), problem.kv_heads, problem.blocks.kv),
        }
    }

    /// What query head `head` reads of Q or K: with grouped heads, H / H_kv query heads read one kv head.
    fn of(&self, side: Side, head: usize, centered: bool) -> &HeadTokens {
        match side {
            Side::Q => &self.q[head][usize::from(centered)],
            Side::Kv => &self.k[head / (self.q.len() / self.k.len())][usize::from(centered)],
        }
    }

    /// The dot product of the means of query block `i` and kv block `j`; 0 if there is no such block.
    pub(crate) fn dot(&self, head: usize, [i, j]: [usize; 2], [q_centered, kv_centered]: [bool; 2]) -> f32 {
        let (q, k) = (self.of(Side::Q, head, q_centered), self.of(Side::Kv, head, kv_centered));
        match (q.means.get(i), k.means.get(j)) {
            (Some(q), Some(k)) => dot(q, k),
            _ => 0.0,
        }
    }

    /// The mean of the cosines of all pairs of tokens of a block; NaN if there is no such block.
    pub(crate) fn similarity(&self, side: Side, head: usize, block: usize, centered: bool) -> f32 {
        let of = self.of(side, head, centered);
        let similarity = |cell: &OnceCell<f32>| *cell.get_or_init(|| similarity(of.block(block)));
        of.similarities.get(block).map_or(f32::NAN, similarity)
    }

    /// Σ_a Q[i·s + s-1-a] · K[j·s + a] over a < s; tokens past the end count as zeros.
    pub(crate) fn antidiagonal(&self, head: usize, stride: usize, i: usize, j: usize) -> f32 {
        let (q, k) = (&self.of(Side::Q, head, false).tokens, &self.of(Side::Kv, head, false).tokens);
        let mut sum = 0.0;
        for a in 0..stride {
            if let (Some(q), Some(k)) = (q.get(i * stride + stride - 1 - a), k.get(j * stride + a)) {
                sum += dot(q, k);
            }
        }
        sum
    }
}

impl HeadTokens {
    fn new(tokens: Vec<Vec<f32>>, block: usize) -> HeadTokens {
        let means: Vec<_> = tokens.chunks(block).map(mean).collect();
        HeadTokens { similarities: vec![OnceCell::new(); means.len()], means, tokens, block }
    }

    fn block(&self, block: usize) -> &[Vec<f32>] {
        &self.tokens[block * self.block..self.tokens.len().min((block + 1) * self.block)]
    }
}

/// The mean of some tokens.
fn mean(tokens: &[Vec<f32>]) -> Vec<f32> {
    let dim = tokens.first().map_or(0, Vec::len);
    (0..dim).map(|d| tokens.iter().map(|token| token[d]).sum::<f32>() / tokens.len() as f32).collect()
}

/// Each token less the mean of all.
fn centered(tokens: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mean = mean(tokens);
    tokens.iter().map(|token| token.iter().zip(&mean).map(|(x, mean)| x - mean).collect()).collect()
}

/// (1/n²) Σ_a Σ_b cos(x_a, x_b), SpargeAttn's self-similarity: each token with itself too.
fn similarity(tokens: &[Vec<f32>]) -> f32 {
    let (n, mut sum) = (tokens.len() as f32, 0.0);
    let norms: Vec<f32> = tokens.iter().map(|x| dot(x, x).sqrt()).collect();
    for (a, norm_a) in tokens.iter().zip(&norms) {
        let mut of_a = 0.0;
        for (b, norm_b) in tokens.iter().zip(&norms) {
            of_a += dot(a, b) / (norm_a * norm_b);
        }
        sum += of_a / n;
    }
    sum / n
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
