//! One query tile of one head: the loop over its computed kv blocks.

use std::ops::Range;

use sparsym_ir::AttentionCall;

use crate::buffer::Buffer;
use crate::element::Element;
use crate::gemm::{Matrix, Target, multiply};
use crate::panels::Panels;
use crate::plan::STRIP;
use crate::rules::Rules;
use crate::softmax::{self, LANES, RowState};

/// Floats of a row of logits. More than a strip, because rows that lie a power of two apart fight for the same cache sets.
const STRIDE: usize = STRIP + LANES;

/// Query rows of one block and head, and where their output goes.
pub(crate) struct Tile<'o, T> {
    pub(crate) b: usize,
    pub(crate) h: usize,
    /// Query block.
    pub(crate) i: usize,
    /// First query row, counted from the start of the batch item.
    pub(crate) first: usize,
    /// D elements of O for each query row.
    pub(crate) rows: Vec<&'o mut [T]>,
}

/// What all tiles of one (batch item, head) read.
pub(crate) struct Head<'a> {
    pub(crate) call: &'a AttentionCall<'a>,
    pub(crate) panels: &'a Panels,
    pub(crate) rules: &'a Rules<'a>,
}

/// What a tile works with.
struct Scratch {
    /// scale · Q, `[rows, D]`.
    q: Buffer,
    /// Logits S and then weights P of a strip, rows of [`STRIDE`].
    s: Buffer,
    /// O before the division by l, `[rows, D]`.
    o: Buffer,
    state: RowState,
}

/// A kv tile in a strip.
struct Part {
    tokens: Range<usize>,
    /// First column of the strip.
    column: usize,
    /// Whether single token pairs may be forbidden.
    masked: bool,
}

impl Scratch {
    /// For tiles of that many query rows, before their first strip; each row sees at most `keys` tokens.
    fn new(rows: usize, keys: usize, head_dim: usize) -> Scratch {
        let matrix = || Buffer::new(rows * head_dim);
        Scratch { q: matrix(), s: Buffer::new(rows * STRIDE), o: matrix(), state: RowState::new(rows, keys) }
    }
}

impl<T: Element> Tile<'_, T> {
    /// Writes the tile of O and gives the LSE of its rows.
    pub(crate) fn attend(&mut self, head: &Head) -> Vec<f32> {
        let problem = head.call.bound.problem;
        let scratch = &mut Scratch::new(self.rows.len(), problem.n_kv, problem.head_dim);
        self.load_q(head, scratch);
        let symbols = head.call.symbols;
        let block = head.call.bound.problem.blocks.kv as usize;
        let (mut strip, mut width, mut target) = (Vec::new(), 0, Target::Overwrite);
        for j in symbols.skip.computed(self.b, self.h, self.i) {
            let masked = symbols.full.as_ref().is_some_and(|s_f| !s_f.get(self.b, self.h, self.i, j));
            for tokens in head.panels.tiles_of(j * block..(j + 1) * block) {
                if width + tokens.len() > STRIP {
                    self.attend_strip(head, &strip, width, scratch, target);
                    strip.clear();
                    (width, target) = (0, Target::Add);
                }
                let column = width;
                width += tokens.len();
                strip.push(Part { tokens, column, masked });
            }
        }
        if width > 0 {
            self.attend_strip(head, &strip, width, scratch, target);
        }
        self.finish(scratch)
    }

    /// Writes Σ coefficient · feature into the tile of O.
    ///
    /// # Panics
    /// If the call has no forecast.
    pub(crate) fn forecast(&mut self, call: &AttentionCall) {
        let forecast = call.forecast.as_ref().expect("only calls with a forecast ask for it");
        let (problem, d) = (call.bound.problem, call.bound.problem.head_dim);
        let (mut sum, mut feature_row) = (vec![0.0; d], vec![0.0; d]);
        let first = problem.q_rows(self.b).start + self.first;
        for (row, o) in self.rows.iter_mut().enumerate() {
            let at = ((first + row) * problem.heads + self.h) * d;
            sum.fill(0.0);
            for (feature, &coefficient) in forecast.features.iter().zip(&forecast.coefficients) {
                T::widen(&T::elements(feature)[at..at + d], &mut feature_row);
                for (sum, x) in sum.iter_mut().zip(&feature_row) {
                    *sum += coefficient * x;
                }
            }
            T::narrow(&mut sum, 1.0, o);
        }
    }

    fn load_q(&self, head: &Head, scratch: &mut Scratch) {
        let problem = head.call.bound.problem;
        let d = problem.head_dim;
        let q = T::elements(head.call.q);
        let first = problem.q_rows(self.b).start + self.first;
        for (row, scaled) in scratch.q.chunks_exact_mut(d).enumerate().take(self.rows.len()) {
            let at = ((first + row) * problem.heads + self.h) * d;
            T::widen(&q[at..at + d], scaled);
            scaled.iter_mut().for_each(|x| *x *= problem.scale);
        }
    }

    /// Brings m, l and O up to date with a strip; the first one is to overwrite what O holds.
    fn attend_strip(&self, head: &Head, strip: &[Part], width: usize, scratch: &mut Scratch, target: Target) {
        let (rows, d) = (self.rows.len(), head.call.bound.problem.head_dim);
        let Scratch { q, s, o, state } = scratch;
        let s = &mut s[..rows * STRIDE];
        for part in strip {
            let n = part.tokens.len();
            let k = Matrix { data: head.panels.k_transposed(part.tokens.clone()), stride: n };
            let q = Matrix { data: q, stride: d };
            multiply([rows, n, d], q, k, &mut s[part.column..], STRIDE, Target::Overwrite);
            self.apply_rules(head, part, s);
        }
        let padded = width.next_multiple_of(LANES);
        if padded > width {
            s.chunks_exact_mut(STRIDE).for_each(|row| row[width..padded].fill(f32::NEG_INFINITY));
        }
        softmax::strip(s, STRIDE, padded, state);
        if target == Target::Add {
            for (row, &correction) in o.chunks_exact_mut(d).zip(&state.correction).take(rows) {
                if correction != 1.0 {
                    row.iter_mut().for_each(|x| *x *= correction);
                }
            }
        }
        self.add_weighted_v(head, strip, s, o, target);
    }

    /// S = score(S), then -inf where the mask forbids the pair.
    fn apply_rules(&self, head: &Head, part: &Part, s: &mut [f32]) {
        if !part.masked && !head.rules.has_score() {
            return;
        }
        for (row, logits) in s.chunks_exact_mut(STRIDE).enumerate() {
            let logits = &mut logits[part.column..part.column + part.tokens.len()];
            head.rules.score(self.first + row, part.tokens.start, logits);
            if part.masked {
                head.rules.mask(self.first + row, part.tokens.start, logits);
            }
        }
    }

    /// O = O + P V, or O = P V to overwrite.
    fn add_weighted_v(&self, head: &Head, strip: &[Part], p: &[f32], o: &mut [f32], mut target: Target) {
        // 0 · NaN is NaN: where V is not finite, masked pairs must be left out, not weighed with 0.
        let poisoned = |part: &Part| part.masked && !head.panels.v_is_finite(&part.tokens);
        let joined = |a: &Part, b: &Part| a.tokens.end == b.tokens.start && !poisoned(a) && !poisoned(b);
        let (rows, d) = (self.rows.len(), head.call.bound.problem.head_dim);
        for run in strip.chunk_by(joined) {
            let (part, tokens) = (&run[0], run[0].tokens.start..run[run.len() - 1].tokens.end);
            if poisoned(part) {
                if target == Target::Overwrite {
                    o.fill(0.0);
                }
                self.add_allowed_v(head, part, p, o);
            } else {
                let weights = Matrix { data: &p[part.column..], stride: STRIDE };
                let v = Matrix { data: head.panels.v(tokens.clone()), stride: d };
                multiply([rows, d, tokens.len()], weights, v, o, d, target);
            }
            target = Target::Add;
        }
    }

    /// O = O + P V over the allowed pairs only, one after another.
    fn add_allowed_v(&self, head: &Head, part: &Part, p: &[f32], o: &mut [f32]) {
        let d = head.call.bound.problem.head_dim;
        for (row, (p, o)) in p.chunks_exact(STRIDE).zip(o.chunks_exact_mut(d)).enumerate() {
            for token in head.rules.allowed(self.first + row, part.tokens.clone()) {
                let weight = p[part.column + token - part.tokens.start];
                for (o, v) in o.iter_mut().zip(head.panels.v(token..token + 1)) {
                    *o += weight * v;
                }
            }
        }
    }

    /// o = O / l and its lse; 0 and -inf for a row without any pair.
    fn finish(&mut self, scratch: &mut Scratch) -> Vec<f32> {
        let d = scratch.o.len() / self.rows.len();
        let Scratch { o, state, .. } = scratch;
        let mut lse = Vec::with_capacity(self.rows.len());
        for (row, out) in self.rows.iter_mut().enumerate() {
            let (o, l) = (&mut o[row * d..(row + 1) * d], state.l[row]);
            if l == 0.0 {
                out.fill(T::ZERO);
                lse.push(f32::NEG_INFINITY);
            } else {
                T::narrow(o, 1.0 / l, out);
                lse.push(state.lse(row));
            }
        }
        lse
    }
}
