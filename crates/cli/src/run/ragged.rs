//! Batches of sequences of different lengths in a file: packed tensors, and where each sequence starts.

use sparsym::ir::problem::Ragged;
use sparsym::ir::{Problem, Tensor};

use super::file::InputFile;
use crate::failure::Outcome;

/// Where each sequence of Q, and of K and V, starts.
pub(super) const INDEX_POINTERS: [&str; 2] = ["q_indptr", "kv_indptr"];

impl InputFile {
    /// The problem of packed sequences `[1, total, H, D]`, if the file has index pointers; `problem` as it is if not.
    pub(super) fn packed(&self, problem: Problem, q: &Tensor, k: &Tensor) -> Outcome<Problem> {
        let [q_name, kv_name] = INDEX_POINTERS;
        let (q_indptr, kv_indptr) = match (self.has(q_name), self.has(kv_name)) {
            (false, false) => return Ok(problem),
            (true, true) => (self.index_pointer(q_name, "q", q)?, self.index_pointer(kv_name, "k", k)?),
            (is_q, _) => {
                let (there, absent) = if is_q { (q_name, kv_name) } else { (kv_name, q_name) };
                let words =
                    format!("there is {there} but no {absent}; a ragged batch has both, equal for self-attention");
                return Err(self.failure(words));
            }
        };
        if q_indptr.len() != kv_indptr.len() {
            return Err(self.failure(format!(
                "{q_name} has {} entries and {kv_name} has {}; each has one more than there are sequences",
                q_indptr.len(),
                kv_indptr.len()
            )));
        }
        let longest = |indptr: &[u32]| indptr.windows(2).map(|ends| (ends[1] - ends[0]) as usize).max().unwrap_or(0);
        Ok(Problem {
            batch: q_indptr.len() - 1,
            n_q: longest(&q_indptr),
            n_kv: longest(&kv_indptr),
            ragged: Some(Ragged { q: q_indptr, kv: kv_indptr }),
            ..problem
        })
    }

    /// Where sequences start in a packed tensor, and after them where the last one ends.
    fn index_pointer(&self, name: &str, of: &str, tensor: &Tensor) -> Outcome<Vec<u32>> {
        let (outer, tokens) = (tensor.shape[0], tensor.shape[1]);
        if outer != 1 {
            let words =
                format!("{of} has shape {:?}; with {name} it must be [1, tokens of all sequences, …]", tensor.shape);
            return Err(self.failure(words));
        }
        let (shape, values) = self.numbers(name)?;
        if shape.len() != 1 || values.len() < 2 {
            let words = format!("{name} has shape {shape:?}; it must be [B + 1] for B sequences, at least [2]");
            return Err(self.failure(words));
        }
        if let Some(at) = values.iter().position(|&value| value < 0.0 || value.fract() != 0.0) {
            let words = format!("{name} holds {} at entry {at}; it holds numbers of tokens", values[at]);
            return Err(self.failure(words));
        }
        if values[0] != 0.0 {
            return Err(self.failure(format!("{name} starts at {}; the first sequence starts at 0", values[0])));
        }
        if let Some(at) = values.windows(2).position(|ends| ends[1] < ends[0]) {
            let words = format!("{name} falls from {} to {} at entry {}", values[at], values[at + 1], at + 1);
            return Err(self.failure(words));
        }
        let end = values[values.len() - 1] as usize;
        if end != tokens {
            return Err(self.failure(format!("{name} ends at {end}, but {of} has {tokens} tokens")));
        }
        Ok(values.into_iter().map(|value| value as u32).collect())
    }
}
