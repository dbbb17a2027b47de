//! Rules, schedule and permutations.

use sparsym_ir::expr::{Function, Side, Type};
use sparsym_ir::strategy::{Action, BlockRule, Grid, Permute, RangeId, Reuse, Scalar, Strategy, TokenRule, When};
use sparsym_ir::{Code, Finding, Findings, Span};

use super::binder::transpose;
use super::expr::{Grain, Resolver, Setting};
use super::maps::resolve_let;
use super::scope::{Scope, Symbol, Wanted, describe, range_names};
use super::variables::{Variables, check_names};
use crate::syntax::ast::{self, Clause, ClauseKind, Name};
use crate::syntax::words::closest;

/// Places of the clauses that a strategy has at most once.
#[derive(Default)]
pub(super) struct Clauses {
    seen: Vec<(&'static str, Span)>,
}

impl Clauses {
    /// Whether this is the first clause of that kind; otherwise there is a finding.
    fn first(&mut self, kind: &'static str, span: Span, findings: &mut Findings) -> bool {
        let Some((_, first)) = self.seen.iter().find(|(seen, _)| *seen == kind) else {
            self.seen.push((kind, span));
            return true;
        };
        let help = "join the two conditions or values in one clause";
        findings.push(
            Finding::at(Code::DuplicateClause, span, format!("`{kind}` is given twice"), help)
                .label(*first, "first given here"),
        );
        false
    }
}

/// Adds the clause to the strategy, or says why not.
pub(super) fn resolve(
    clause: &Clause,
    strategy: &mut Strategy,
    scope: &mut Scope,
    clauses: &mut Clauses,
    findings: &mut Findings,
) {
    let span = clause.span;
    match &clause.kind {
        ClauseKind::Let { name, over, value } => {
            resolve_let(name, over, value, span, strategy, scope, findings);
        }
        ClauseKind::Mask { q, kv, value } => {
            let first = clauses.first("mask", span, findings);
            check_names(&[q, kv], scope, findings);
            let variables = Variables::of_rule([None, Some(q), Some(kv)]);
            let value = Resolver::new(strategy, scope, findings, Setting::Mask, variables).typed(
                value,
                Type::Bool,
                "a mask says which token pairs may attend",
            );
            if let Some(value) = value.filter(|_| first) {
                strategy.mask = Some(TokenRule { value, span });
            }
        }
        ClauseKind::Score { logit, q, kv, value } => {
            let first = clauses.first("score", span, findings);
            check_names(&[logit, q, kv], scope, findings);
            let variables = Variables::of_rule([Some(logit), Some(q), Some(kv)]);
            let value = Resolver::new(strategy, scope, findings, Setting::Score, variables).typed(
                value,
                Type::Float,
                "a score replaces the scaled logit",
            );
            if let Some(value) = value.filter(|_| first) {
                strategy.score = Some(TokenRule { value, span });
            }
        }
        ClauseKind::Rule { action, vars, condition, reuse } => {
            let [q, kv] = [vars.first(), vars.get(1)];
            let names: Vec<&Name> = vars.iter().map(|var| &var.name).collect();
            check_names(&names, scope, findings);
            let ranges = [q, kv].map(|var| range(var, strategy, scope, findings));
            let condition = condition.as_ref().map(|condition| {
                let variables = Variables::of_rule([None, q.map(|var| &var.name), kv.map(|var| &var.name)]);
                let mut resolver = Resolver::new(strategy, scope, findings, Setting::Block, variables);
                resolver.grain = Grain::Blocks;
                resolver.line = Some(if kv.is_some() { Side::Kv } else { Side::Q });
                resolver.typed(condition, Type::Bool, "a rule fires where its condition holds")
            });
            let reuse = self::reuse(*action, reuse.as_ref(), strategy, scope, findings);
            // A rule of which a part is wrong is left out.
            let ([Some(q), Some(kv)], Some(condition), Some(reuse)) = (ranges, transpose(condition), reuse) else {
                return;
            };
            strategy.rules.push(BlockRule { action: *action, when: When::Match { q, kv, condition }, reuse, span });
        }
        ClauseKind::Otherwise { action, reuse } => {
            if let Some(reuse) = self::reuse(*action, reuse.as_ref(), strategy, scope, findings) {
                strategy.rules.push(BlockRule { action: *action, when: When::Otherwise, reuse, span });
            }
        }
        ClauseKind::Update(value) | ClauseKind::Dense(value) | ClauseKind::Degrade(value) => {
            let (kind, setting) = match clause.kind {
                ClauseKind::Update(_) => ("update when", Setting::Update),
                ClauseKind::Dense(_) => ("dense when", Setting::Dense),
                _ => ("degrade when", Setting::Degrade),
            };
            let first = clauses.first(kind, span, findings);
            let why = match setting {
                Setting::Degrade => "`degrade when` asks whether a layer is reused from now on",
                _ => "the schedule asks whether a step is one",
            };
            let value =
                Resolver::new(strategy, scope, findings, setting, Variables::default()).typed(value, Type::Bool, why);
            let slot = match setting {
                Setting::Update => &mut strategy.schedule.update,
                Setting::Dense => &mut strategy.schedule.dense,
                _ => &mut strategy.schedule.degrade,
            };
            if first {
                *slot = value;
            }
        }
        ClauseKind::Permute { range, by } => {
            let first = clauses.first("permute", span, findings);
            let permute = permute(range.as_ref(), by, strategy, scope, findings);
            if first {
                strategy.permute = permute;
            }
        }
        _ => unreachable!("declarations are resolved before rules"),
    }
}

/// `permute vision by tile`, `permute by order`
fn permute(
    range: Option<&Name>,
    by: &Name,
    strategy: &Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) -> Option<Permute> {
    if let Some(range) = range {
        let id = range_id(range, strategy, scope, findings)?;
        if matches!(strategy.tokens[id.0].grid, Some(Grid::Tiled(_))) {
            return Some(Permute::Tiles(id));
        }
        let message = format!("range `{}` has no tiles", range.text);
        let help = format!("declare them: `tokens {}(t, h, w) tiled (6, 8, 8);`", range.text);
        findings.push(Finding::at(Code::WrongPermute, range.span, message, help));
        return None;
    }
    const FORM: &str = "declare it above: `input order: [token] of u32;`";
    if by.text == "tile" && scope.peek("tile").is_none() {
        let message = "it is not said which range is permuted";
        findings.push(Finding::at(Code::WrongPermute, by.span, message, "write `permute vision by tile;`"));
        return None;
    }
    match scope.read(by, Wanted::Input, findings)? {
        Symbol::Input(id) if strategy.inputs[id.0].scalar == Scalar::U32 => Some(Permute::Index(id)),
        Symbol::Input(id) => {
            let scalar = strategy.inputs[id.0].scalar.name();
            let message = format!("tokens are numbered by u32, and input `{}` holds {scalar}", by.text);
            findings.push(Finding::at(Code::WrongPermute, by.span, message, FORM));
            None
        }
        Symbol::Poisoned => None,
        other => {
            let message = format!("`{}` is {}, not an input", by.text, describe(&other));
            findings.push(Finding::at(Code::WrongPermute, by.span, message, FORM));
            None
        }
    }
}

/// The range of a rule's variable. None after a finding, Some(None) for all blocks.
fn range(
    variable: Option<&ast::Variable>,
    strategy: &Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) -> Option<Option<RangeId>> {
    let Some(name) = variable.and_then(|variable| variable.range.as_ref()) else { return Some(None) };
    range_id(name, strategy, scope, findings).map(Some)
}

/// The declared range of that name, or a finding.
pub(super) fn range_id(
    name: &Name,
    strategy: &Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) -> Option<RangeId> {
    match scope.read(name, Wanted::Range, findings)? {
        Symbol::Range(id) => Some(id),
        Symbol::Poisoned => None,
        other => {
            let message = format!("`{}` is {}, not a token range", name.text, describe(&other));
            findings.push(Finding::at(Code::TypeMismatch, name.span, message, range_names(strategy)));
            None
        }
    }
}

/// How a cached block is reused. None after a finding, Some(None) for actions other than `cache`.
fn reuse(
    action: Action,
    written: Option<&ast::Reuse>,
    strategy: &Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) -> Option<Option<Reuse>> {
    if action != Action::Cache {
        return Some(None);
    }
    let Some(ast::Reuse { name, args }) = written else { return Some(Some(Reuse::Hold)) };
    let mut wrong = |code, message: String, help: &str| {
        findings.push(Finding::at(code, name.span, message, help));
        None
    };
    match (name.text.as_str(), &args[..]) {
        ("hold", []) => Some(Some(Reuse::Hold)),
        ("taylor", [order]) => {
            let order = Resolver::new(strategy, scope, findings, Setting::Order, Variables::default()).typed(
                order,
                Type::Int,
                "the order of a forecast is an integer",
            )?;
            Some(Some(Reuse::Taylor(order)))
        }
        ("hold", _) => wrong(Code::ArgumentCount, "`hold` takes no argument".to_owned(), "write `by hold`"),
        ("taylor", args) => wrong(
            Code::ArgumentCount,
            format!("`taylor` takes one argument, found {}", args.len()),
            "give the order of the forecast: `by taylor(2)`",
        ),
        (other, _) if Function::ALL.iter().any(|function| function.name() == other) => wrong(
            Code::NonLinearReuse,
            format!("`{other}` is not linear in the cached features"),
            "use `hold` or `taylor(n)`: the forecast is made from projected features",
        ),
        (other, _) => {
            let help = match closest(other, ["hold", "taylor"]) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "use `by hold` or `by taylor(n)`".to_owned(),
            };
            wrong(Code::UnknownReuse, format!("there is no reuse operator `{other}`"), &help)
        }
    }
}
