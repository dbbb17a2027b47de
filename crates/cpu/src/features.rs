//! What the CPU knows of the blocks of Q and K: means, similarities, products. One pass over each tensor for each kind.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use sparsym_ir::data::Features;
use sparsym_ir::expr::Side;
use sparsym_ir::{Problem, Tensor};

use crate::element::Element;
use crate::gemm::{Matrix, Target, multiply};

/// Features of one call, computed when they are asked for.
pub(crate) struct BlockFeatures<'a, T> {
    problem: &'a Problem,
    q: Side4<'a, T>,
    k: Side4<'a, T>,
    /// The kv head whose K was last laid out for [`Features::antidiagonals`].
    groups: Mutex<Option<Groups>>,
}

/// One of the two tensors, `[B, N, heads, D]`.
struct Side4<'a, T> {
    elements: &'a [T],
    tokens: usize,
    heads: usize,
    head_dim: usize,
    block: usize,
}

/// K of one batch item and kv head by groups of `stride` tokens, transposed: `[stride · D, groups]`, zeros past the end.
struct Groups {
    of: [usize; 3],
    k: Vec<f32>,
}

impl<'a, T: Element> BlockFeatures<'a, T> {
    /// Of Q and K of this problem.
    pub(crate) fn new(problem: &'a Problem, q: &'a Tensor, k: &'a Tensor) -> BlockFeatures<'a, T> {
        let side = |tensor, tokens, heads, block: u32| Side4 {
            elements: T::elements(tensor),
            tokens,
            heads,
            head_dim: problem.head_dim,
            block: block as usize,
        };
        BlockFeatures {
            problem,
            q: side(q, problem.n_q, problem.heads, problem.blocks.q),
            k: side(k, problem.n_kv, problem.kv_heads, problem.blocks.kv),
            groups: Mutex::new(None),
        }
    }
}

impl<T: Element> Side4<'_, T> {
    /// One token of a head, widened.
    fn token(&self, b: usize, h: usize, token: usize, to: &mut [f32]) {
        let at = ((b * self.tokens + token) * self.heads + h) * self.head_dim;
        T::widen(&self.elements[at..at + self.head_dim], to);
    }

    fn blocks(&self) -> usize {
        self.tokens.div_ceil(self.block)
    }

    fn block_tokens(&self, block: usize) -> Range<usize> {
        block * self.block..((block + 1) * self.block).min(self.tokens)
    }

    /// Mean of the tokens of each block of a head, `[blocks, D]`.
    fn means(&self, b: usize, h: usize) -> Vec<f32> {
        let mut means = vec![0.0; self.blocks() * self.head_dim];
        let mut token = vec![0.0; self.head_dim];
        for (block, mean) in means.chunks_exact_mut(self.head_dim).enumerate() {
            let tokens = self.block_tokens(block);
            let count = tokens.len() as f32;
            for n in tokens {
                self.token(b, h, n, &mut token);
                mean.iter_mut().zip(&token).for_each(|(sum, x)| *sum += x);
            }
            mean.iter_mut().for_each(|sum| *sum /= count);
        }
        means
    }

    /// Mean over all tokens of a head.
    fn centre(&self, b: usize, h: usize) -> Vec<f32> {
        // Blocks first: fewer roundings than one long sum.
        let mut centre = vec![0.0; self.head_dim];
        for (block, mean) in self.means(b, h).chunks_exact(self.head_dim).enumerate() {
            let share = self.block_tokens(block).len() as f32 / self.tokens as f32;
            centre.iter_mut().zip(mean).for_each(|(sum, x)| *sum += share * x);
        }
        centre
    }

    /// Means of blocks, less the mean over all tokens if asked for.
    fn centered_means(&self, b: usize, h: usize, centered: bool) -> Vec<f32> {
        let mut means = self.means(b, h);
        if centered {
            let centre = self.centre(b, h);
            for mean in means.chunks_exact_mut(self.head_dim) {
                mean.iter_mut().zip(&centre).for_each(|(x, c)| *x -= c);
            }
        }
        means
    }

    /// Mean cosine over all pairs of a block's tokens: the squared length of the mean of their directions.
    fn self_similarities(&self, b: usize, h: usize, centered: bool) -> Vec<f32> {
        let centre = if centered { self.centre(b, h) } else { vec![0.0; self.head_dim] };
        let mut token = vec![0.0; self.head_dim];
        let similarity = |block: usize| {
            let tokens = self.block_tokens(block);
            let count = tokens.len() as f32;
            let mut sum = vec![0.0_f32; self.head_dim];
            for n in tokens {
                self.token(b, h, n, &mut token);
                token.iter_mut().zip(&centre).for_each(|(x, c)| *x -= c);
                let length = token.iter().map(|x| x * x).sum::<f32>().sqrt();
                sum.iter_mut().zip(&token).for_each(|(sum, x)| *sum += x / length);
            }
            sum.iter().map(|x| (x / count) * (x / count)).sum()
        };
        (0..self.blocks()).map(similarity).collect()
    }
}

impl<T: Element> Features for BlockFeatures<'_, T> {
    fn dot(&self, q_centered: bool, kv_centered: bool) -> Vec<f32> {
        let (heads, d) = (self.problem.heads, self.problem.head_dim);
        let (t_q, t_kv) = (self.q.blocks(), self.k.blocks());
        let mut products = vec![0.0; self.problem.batch * heads * t_q * t_kv];
        if products.is_empty() {
            return products;
        }
        products.par_chunks_exact_mut(t_q * t_kv).enumerate().for_each(|(n, products)| {
            let (b, h) = (n / heads, n % heads);
            let q = self.q.centered_means(b, h, q_centered);
            let k = self.k.centered_means(b, self.problem.kv_head(h), kv_centered);
            let k: Vec<f32> = (0..d).flat_map(|c| k[c..].iter().step_by(d).copied()).collect();
            let (q, k) = (Matrix { data: &q, stride: d }, Matrix { data: &k, stride: t_kv });
            multiply([t_q, t_kv, d], q, k, products, t_kv, Target::Overwrite);
        });
        products
    }

    fn self_similarity(&self, of: Side, centered: bool) -> Vec<f32> {
        let heads = self.problem.heads;
        let of_head = |n: usize| match of {
            Side::Q => self.q.self_similarities(n / heads, n % heads, centered),
            Side::Kv => self.k.self_similarities(n / heads, self.problem.kv_head(n % heads), centered),
        };
        (0..self.problem.batch * heads).into_par_iter().flat_map_iter(of_head).collect()
    }

    fn antidiagonals(&self, stride: usize, b: usize, h: usize, q_groups: Range<usize>) -> Vec<f32> {
        let (d, inner) = (self.problem.head_dim, stride * self.problem.head_dim);
        let kv_head = self.problem.kv_head(h);
        let n_groups = self.problem.n_kv.div_ceil(stride);
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let of = [stride, b, kv_head];
        if groups.as_ref().is_none_or(|groups| groups.of != of) {
            let mut k = vec![0.0; inner * n_groups];
            let mut token = vec![0.0; d];
            for n in 0..self.problem.n_kv {
                self.k.token(b, kv_head, n, &mut token);
                let (group, place) = (n / stride, n % stride);
                token.iter().enumerate().for_each(|(c, &x)| k[(place * d + c) * n_groups + group] = x);
            }
            *groups = Some(Groups { of, k });
        }
        let Some(Groups { k, .. }) = groups.as_ref() else { return Vec::new() };
        // The tokens of a query group stand in reverse, so that the product pairs a with s - 1 - a.
        let mut q = vec![0.0; q_groups.len() * inner];
        for (row, group) in q_groups.clone().enumerate() {
            for place in 0..stride {
                let token = group * stride + stride - 1 - place;
                if token < self.problem.n_q {
                    self.q.token(b, h, token, &mut q[row * inner + place * d..][..d]);
                }
            }
        }
        let mut products = vec![0.0; q_groups.len() * n_groups];
        let (q, k) = (Matrix { data: &q, stride: inner }, Matrix { data: k, stride: n_groups });
        multiply([q_groups.len(), n_groups, inner], q, k, &mut products, n_groups, Target::Overwrite);
        products
    }
}
