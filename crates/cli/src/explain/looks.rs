//! Symbols at one moment. Rules over Q and K get made-up ones, and heads that are alike are computed once.

use rayon::prelude::*;
use sparsym::device::{Cpu, Device};
use sparsym::ir::analysis::data_symbols;
use sparsym::ir::bind::TableData;
use sparsym::ir::expr::{Axis, BinaryOp, Expr, ExprKind, Global, Type};
use sparsym::ir::strategy::{Element, TableAxis, Value, When};
use sparsym::ir::symbols::{BitRows, CacheSymbol, SkipSymbol};
use sparsym::ir::{Bindings, Bound, Moment, Problem, Strategy, Symbols, SymbolsCall};

use super::made_up::{HEAD_KINDS, MadeUp};
use crate::failure::Outcome;

/// Block pairs of made-up heads of different kinds that one moment may take; fewer kinds beyond it.
const MOST_OF_KINDS: usize = 1 << 21;
/// Pairs of groups that a block score may take; coarser groups beyond it.
const MOST_GROUPS: usize = 1 << 20;

/// Symbols of a bound strategy at any moment.
pub(super) struct Looks<'a> {
    bound: &'a Bound<'a>,
    made_up: Option<Heads>,
    /// What the reader should know of the numbers.
    pub(super) notes: Vec<String>,
}

/// Heads with made-up Q and K.
struct Heads {
    strategy: Strategy,
    problem: Problem,
    /// Heads that are computed together: what they read.
    jobs: Vec<(Bindings, MadeUp)>,
    /// Which of the jobs' heads each head of the problem is.
    like: Vec<usize>,
}

impl<'a> Looks<'a> {
    /// Makes up Q and K if the strategy reads them.
    pub(super) fn new(bound: &'a Bound<'a>) -> Looks<'a> {
        let mut notes = Vec::new();
        let made_up = bound.strategy.reads_data().then(|| Heads::new(bound, &mut notes));
        Looks { bound, made_up, notes }
    }

    /// Block pairs that are looked at for one moment.
    pub(super) fn pairs(&self) -> usize {
        let problem = self.bound.problem;
        let heads =
            self.made_up.as_ref().map_or(1, |heads| heads.jobs.iter().map(|(_, made_up)| made_up.heads()).sum());
        problem.q_blocks() * problem.kv_blocks() * heads
    }

    /// What the rules say at this moment.
    pub(super) fn at(&self, moment: Moment) -> Outcome<Symbols> {
        match &self.made_up {
            Some(heads) => heads.symbols(moment),
            None => Ok(Cpu.symbols(&SymbolsCall::without_data(self.bound, moment))?),
        }
    }
}

impl Heads {
    fn new(bound: &Bound<'_>, notes: &mut Vec<String>) -> Heads {
        let problem = bound.problem;
        let pairs = problem.q_blocks() * problem.kv_blocks();
        let kinds = (MOST_OF_KINDS / pairs.max(1)).clamp(1, HEAD_KINDS).min(problem.heads);
        let strategy = coarser(bound, notes);
        let note = match kinds {
            1 => String::new(),
            kinds => format!(", of {kinds} kinds of heads in turn"),
        };
        notes.push(format!("rules read Q and K: these are made-up ones, alike where tokens are near{note}"));
        if mixes_heads(&strategy) {
            let all: Vec<usize> = (0..problem.heads).map(|h| h % kinds).collect();
            let jobs = vec![(bound.bindings.clone(), MadeUp::new(problem, &all))];
            return Heads { strategy, problem: problem.clone(), jobs, like: (0..problem.heads).collect() };
        }
        let mut different: Vec<(Bindings, usize)> = Vec::new();
        let mut like = Vec::new();
        for h in 0..problem.heads {
            let head = (of_head(bound, h), h % kinds);
            let known = different.iter().position(|known| *known == head).unwrap_or_else(|| {
                different.push(head);
                different.len() - 1
            });
            like.push(known);
        }
        let problem = Problem { heads: 1, kv_heads: 1, ..problem.clone() };
        let jobs =
            different.into_par_iter().map(|(bindings, kind)| (bindings, MadeUp::new(&problem, &[kind]))).collect();
        Heads { strategy, problem, jobs, like }
    }

    fn symbols(&self, moment: Moment) -> Outcome<Symbols> {
        let one = |(bindings, made_up): &(Bindings, MadeUp)| -> Outcome<Symbols> {
            let bound = Bound::new(&self.strategy, &self.problem, bindings)?;
            Ok(data_symbols(&bound, &moment, made_up))
        };
        let parts: Vec<Symbols> = self.jobs.par_iter().map(one).collect::<Outcome<_>>()?;
        let place = |n: usize| if self.jobs.len() == 1 && self.problem.heads > 1 { (0, n) } else { (n, 0) };
        let (t_q, t_kv) = (self.problem.q_blocks(), self.problem.kv_blocks());
        let mut cache = CacheSymbol::ones(1, self.like.len(), t_q);
        let (mut skip, mut full) = (Vec::new(), Vec::new());
        for (h, &like) in self.like.iter().enumerate() {
            let (part, at) = place(like);
            let part = &parts[part];
            for i in 0..t_q {
                cache.set(0, h, i, part.cache.get(0, at, i));
                let row = part.skip.row_index(0, at, i);
                skip.extend_from_slice(part.skip.rows().row(row));
                full.extend(part.full.iter().flat_map(|full| full.rows().row(row)));
            }
        }
        let heads = self.like.len();
        let symbol = |words| SkipSymbol::from_rows(1, heads, t_q, BitRows::from_words(heads * t_q, t_kv, words));
        let has_mask = self.strategy.mask.is_some();
        Ok(Symbols { cache, skip: symbol(skip), full: has_mask.then(|| symbol(full)) })
    }
}

/// Whether what a head does depends on its number or on other heads.
fn mixes_heads(strategy: &Strategy) -> bool {
    let mixes = |e: &Expr| match &e.kind {
        ExprKind::Global(global) => matches!(global, Global::Head | Global::Heads),
        ExprKind::Reduce(_, running, _) => running.axis == Axis::Head,
        ExprKind::Softmax(softmax) => softmax.over.axis == Axis::Head,
        _ => false,
    };
    let maps = strategy.maps.iter().map(|map| &map.value);
    strategy.mask.iter().map(|mask| &mask.value).chain(strategy.conditions()).chain(maps).any(|expr| expr.any(mixes))
}

/// The bindings with tables of this head alone.
fn of_head(bound: &Bound<'_>, h: usize) -> Bindings {
    let tables = bound.strategy.tables.iter().zip(&bound.bindings.tables).map(|(table, data)| {
        let Some(axis) = table.axes.iter().position(|axis| *axis == TableAxis::Head) else { return data.clone() };
        let numbers = if matches!(table.element, Element::Three(_)) { 3 } else { 1 };
        let inner = data.shape[axis + 1..table.axes.len()].iter().product::<usize>() * numbers;
        let (extent, at) = (data.shape[axis], h.min(data.shape[axis] - 1));
        let values = data.values.chunks_exact(inner).skip(at).step_by(extent).flatten().copied().collect();
        let mut shape = data.shape.clone();
        shape[axis] = 1;
        TableData { shape, values }
    });
    Bindings { tables: tables.collect(), ..bound.bindings.clone() }
}

/// The same strategy with block scores made of fewer, larger groups where there are very many.
fn coarser(bound: &Bound<'_>, notes: &mut Vec<String>) -> Strategy {
    let mut strategy = bound.strategy.clone();
    let mut change = |expr: &mut Expr| widen(bound, expr, notes);
    strategy.maps.iter_mut().for_each(|map| change(&mut map.value));
    for rule in &mut strategy.rules {
        if let When::Match { condition: Some(condition), .. } = &mut rule.when {
            change(condition);
        }
    }
    notes.sort();
    notes.dedup();
    strategy
}

fn widen(bound: &Bound<'_>, expr: &mut Expr, notes: &mut Vec<String>) {
    for child in expr.children_mut() {
        widen(bound, child, notes);
    }
    let ExprKind::BlockSum(sum) = &mut expr.kind else { return };
    let declared = match sum.stride.kind {
        ExprKind::Int(stride) => stride,
        ExprKind::Param(id) => match bound.bindings.params.get(id.0) {
            Some(Value::Int(stride)) => *stride,
            _ => return,
        },
        _ => return,
    };
    let problem = bound.problem;
    let fits = |stride: i64| i64::from(problem.blocks.q) % stride == 0 && i64::from(problem.blocks.kv) % stride == 0;
    let groups = |stride: i64| (problem.n_q / stride as usize).saturating_mul(problem.n_kv / stride as usize);
    let mut stride = declared.max(1);
    while groups(stride) > MOST_GROUPS && fits(2 * stride) {
        stride *= 2;
    }
    if stride == declared {
        return;
    }
    notes.push(format!("antidiagonals of {declared} tokens are looked at in steps of {stride}, to save time"));
    // A product of groups adds up `stride` tokens where `declared` are meant, and a block has fewer groups.
    let ratio = stride as f64 / declared as f64;
    scale_antidiagonals(&mut sum.logit, 1.0 / ratio);
    sum.stride.kind = ExprKind::Int(stride);
    times(expr, ratio);
}

fn scale_antidiagonals(expr: &mut Expr, factor: f64) {
    if expr.kind == ExprKind::Antidiag {
        times(expr, factor);
    } else {
        expr.children_mut().into_iter().for_each(|child| scale_antidiagonals(child, factor));
    }
}

fn times(expr: &mut Expr, factor: f64) {
    let float = |kind| Expr { kind, ty: Type::Float, span: expr.span };
    let value = float(expr.kind.clone());
    expr.kind = ExprKind::Binary(BinaryOp::Mul, Box::new(value), Box::new(float(ExprKind::Float(factor))));
}
