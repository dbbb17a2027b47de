//! What an expression says at one place: a token pair, a block pair, or a step.
//!
//! The questions are methods of [`Bound`]; [`Prepared`] answers the mask or the score for a row of kv tokens at a time.
//! Integers are 32-bit and wrap, floats are f32, and no operation is fused, so that a device that keeps these rules
//! gives the same bits.

mod cover;
mod prepared;
mod scalar;

pub(crate) use cover::Covers;
pub use prepared::Prepared;
pub(crate) use scalar::{Datum, Place, Scope, bit_length};

use crate::bind::{Bound, Moment};
use crate::expr::{Expr, ExprKind, SymbolKind};
use crate::strategy::{Action, BlockRule, MOST_ORDER, Reuse, When};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// Everything is computed; symbols and caches are refreshed.
    Update,
    /// Symbols are obeyed and caches are read.
    Dispatch,
    /// Everything is computed and no symbols are made.
    Dense,
}

impl Bound<'_> {
    /// Whether token `q` of batch item `b` and head `h` may attend to token `kv`; true without a mask.
    pub fn mask_at(&self, moment: &Moment, b: usize, h: usize, q: usize, kv: usize) -> bool {
        self.strategy.mask.as_ref().is_none_or(|rule| {
            let place = Place::Tokens { q, kv, logit: 0.0 };
            Scope { bound: self, moment: *moment, b, h, place, maps: None }.eval(&rule.value).bool()
        })
    }

    /// What the score rule makes of a scaled logit; the logit itself without a rule.
    pub fn score_at(&self, moment: &Moment, logit: f32, b: usize, h: usize, q: usize, kv: usize) -> f32 {
        self.strategy.score.as_ref().map_or(logit, |rule| {
            let place = Place::Tokens { q, kv, logit };
            Scope { bound: self, moment: *moment, b, h, place, maps: None }.eval(&rule.value).float()
        })
    }

    /// The value of an integer expression that reads no token, at batch item `b` and head `h`.
    pub fn integer_at(&self, moment: &Moment, b: usize, h: usize, expr: &Expr) -> i32 {
        Scope { bound: self, moment: *moment, b, h, place: Place::Nowhere, maps: None }.eval(expr).int()
    }

    /// Whether a block rule matches query block `i` and kv block `j` of head `h`; a `cache` or `compute` rule looks at
    /// `i` only. An `otherwise` rule matches every block: that no other rule did is for the caller to know.
    pub fn rule_matches(&self, moment: &Moment, rule: &BlockRule, b: usize, h: usize, i: usize, j: usize) -> bool {
        let When::Match { q, kv, condition } = &rule.when else { return true };
        let (size, tokens) = (self.problem.blocks, [self.problem.n_q, self.problem.n_kv]);
        let inside = |range: &Option<_>, block: usize, size: u32, tokens: usize| {
            let first = block * size as usize;
            let last = (first + size as usize).min(tokens.max(first + 1)) - 1;
            range.is_none_or(|id| self.block_range(first, last) == Some(id))
        };
        inside(q, i, size.q, tokens[0])
            && inside(kv, j, size.kv, tokens[1])
            && condition.as_ref().is_none_or(|condition| {
                let place = Place::Blocks { q: i, kv: j };
                Scope { bound: self, moment: *moment, b, h, place, maps: None }.eval(condition).bool()
            })
    }

    /// What step `step` of `steps` does at a layer. `since_update` counts the steps since the last Update (1 at the step
    /// after it); None if there was none yet.
    ///
    /// `dense when` comes first; then a step without an Update before it, so step 0 too, is Update; then `update when`
    /// decides. A strategy without `update when` updates at every step.
    pub fn schedule(&self, step: u32, steps: u32, since_update: Option<u32>, layer: u32) -> StepKind {
        let moment = Moment { step, steps, since_update: since_update.unwrap_or(step), layer };
        let scope = Scope { bound: self, moment, b: 0, h: 0, place: Place::Nowhere, maps: None };
        let schedule = &self.strategy.schedule;
        if schedule.dense.as_ref().is_some_and(|when| scope.eval(when).bool()) {
            return StepKind::Dense;
        }
        let update = schedule.update.as_ref().is_none_or(|when| scope.eval(when).bool());
        if step == 0 || since_update.is_none() || update { StepKind::Update } else { StepKind::Dispatch }
    }

    /// Whether a layer degrades after an Update that made symbols of these densities, shares of ones of S_c and S_s. From
    /// then on it reuses its whole output, of order 0, at every Dispatch.
    pub fn degrades(&self, moment: &Moment, density_c: f64, density_s: f64) -> bool {
        fn known(expr: &Expr, density: &impl Fn(SymbolKind) -> f64) -> Expr {
            let mut expr = expr.clone();
            if let ExprKind::Density(symbol) = expr.kind {
                expr.kind = ExprKind::Float(density(symbol));
            }
            for child in expr.children_mut() {
                *child = known(child, density);
            }
            expr
        }
        let density = |symbol| match symbol {
            SymbolKind::Cache => density_c,
            SymbolKind::Skip => density_s,
        };
        self.strategy.schedule.degrade.as_ref().is_some_and(|when| {
            let scope = Scope { bound: self, moment: *moment, b: 0, h: 0, place: Place::Nowhere, maps: None };
            scope.eval(&known(when, &density)).bool()
        })
    }

    /// Highest order of the finite differences that cached blocks are forecast with, [`MOST_ORDER`] at most; 0 for `by hold` and for a
    /// strategy without `cache` rules.
    pub fn taylor_order(&self, moment: &Moment) -> u32 {
        let cache = self.strategy.rules.iter().filter(|rule| rule.action == Action::Cache);
        match cache.filter_map(|rule| rule.reuse.as_ref()).next() {
            Some(Reuse::Taylor(order)) => {
                let scope = Scope { bound: self, moment: *moment, b: 0, h: 0, place: Place::Nowhere, maps: None };
                scope.eval(order).int().clamp(0, MOST_ORDER as i32) as u32
            }
            Some(Reuse::Hold) | None => 0,
        }
    }
}
