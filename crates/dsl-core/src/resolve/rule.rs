//! Rules and schedule.

use sparsym_ir::expr::{Function, Type};
use sparsym_ir::strategy::{Action, BlockRule, RangeId, Reuse, Strategy, TokenRule, When};
use sparsym_ir::{Code, Finding, Findings, Span};

use super::expr::{Resolver, Setting};
use super::scope::{Scope, Symbol, describe, range_names};
use crate::syntax::ast::{self, Clause, ClauseKind, Name};
use crate::syntax::words::{closest, reserved};

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
        ClauseKind::Let { name, value } => {
            let value = Resolver::new(strategy, scope, findings, Setting::Let, [None, None, None]).any(value);
            let symbol = value.map_or(Symbol::Poisoned, |value| Symbol::Let(Box::new(value)));
            if scope.claim(name, findings) {
                scope.declare(name, symbol);
            }
        }
        ClauseKind::Mask { q, kv, value } => {
            let first = clauses.first("mask", span, findings);
            variables([None, Some(q), Some(kv)], scope, findings);
            let value = Resolver::new(strategy, scope, findings, Setting::Mask, [None, Some(q), Some(kv)]).typed(
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
            variables([Some(logit), Some(q), Some(kv)], scope, findings);
            let value = Resolver::new(strategy, scope, findings, Setting::Score, [Some(logit), Some(q), Some(kv)])
                .typed(value, Type::Float, "a score replaces the scaled logit");
            if let Some(value) = value.filter(|_| first) {
                strategy.score = Some(TokenRule { value, span });
            }
        }
        ClauseKind::Rule { action, vars, condition, reuse } => {
            let [q, kv] = [vars.first(), vars.get(1)];
            let names = [None, q.map(|var| &var.name), kv.map(|var| &var.name)];
            variables(names, scope, findings);
            let ranges = [q, kv].map(|var| range(var, strategy, scope, findings));
            let condition = condition.as_ref().map(|condition| {
                Resolver::new(strategy, scope, findings, Setting::Block, names).typed(
                    condition,
                    Type::Bool,
                    "a rule fires where its condition holds",
                )
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
        ClauseKind::Update(value) | ClauseKind::Dense(value) => {
            let (kind, setting) = match clause.kind {
                ClauseKind::Update(_) => ("update when", Setting::Update),
                _ => ("dense when", Setting::Dense),
            };
            let first = clauses.first(kind, span, findings);
            let value = Resolver::new(strategy, scope, findings, setting, [None, None, None]).typed(
                value,
                Type::Bool,
                "the schedule asks whether a step is one",
            );
            let slot = match setting {
                Setting::Update => &mut strategy.schedule.update,
                _ => &mut strategy.schedule.dense,
            };
            if first {
                *slot = value;
            }
        }
        _ => unreachable!("declarations are resolved before rules"),
    }
}

/// None: wrong. Some(None): not given.
fn transpose<T>(given: Option<Option<T>>) -> Option<Option<T>> {
    match given {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
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
    match scope.read(name, findings)? {
        Symbol::Range(id) => Some(id),
        Symbol::Poisoned => None,
        other => {
            let message = format!("`{}` is {}, not a token range", name.text, describe(&other));
            findings.push(Finding::at(Code::TypeMismatch, name.span, message, range_names(strategy)));
            None
        }
    }
}

/// Variables have names of their own.
fn variables(names: [Option<&Name>; 3], scope: &Scope, findings: &mut Findings) {
    let names: Vec<&Name> = names.into_iter().flatten().collect();
    for (index, name) in names.iter().enumerate() {
        let usual = ["q", "kv", "s"].contains(&name.text.as_str());
        if let Some(first) = names[..index].iter().find(|first| first.text == name.text) {
            let message = format!("`{}` names two variables", name.text);
            let finding = Finding::at(Code::DuplicateName, name.span, message, "give each variable its own name");
            findings.push(finding.label(first.span, "first named here"));
        } else if let Some(use_) = reserved(&name.text).filter(|_| !usual) {
            let message = format!("`{}` is {use_}", name.text);
            findings.push(Finding::at(Code::ReservedName, name.span, message, "choose another name, usually q and kv"));
        } else if let Some(first) = scope.place(&name.text) {
            let message = format!("`{}` is declared already", name.text);
            let finding = Finding::at(Code::DuplicateName, name.span, message, "choose another name, usually q and kv");
            findings.push(finding.label(first, "declared here"));
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
            let order = Resolver::new(strategy, scope, findings, Setting::Order, [None, None, None]).typed(
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
