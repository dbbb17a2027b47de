//! `let` values that read no tensor data: without variables, or over tokens.

use sparsym_ir::expr::{Expr, Side};
use sparsym_ir::lets::{Let, LetId, LetSide};
use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Code, Finding, Findings, Span};

use super::expr::{Grain, Resolver, Setting, count};
use super::scope::{Scope, Symbol};
use super::variables::{Variables, check_names};
use crate::syntax::ast::{self, Name};

/// `let early = step < 8;`
pub(super) fn without_variables(
    name: &Name,
    value: &ast::Expr,
    span: Span,
    strategy: &mut Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) {
    let value = Resolver::new(strategy, scope, findings, Setting::Let, Variables::default()).any(value);
    declare(name, LetSide::None, value, span, strategy, scope, findings);
}

/// `let row(q) = q.h / 2;`
pub(super) fn over_tokens(
    name: &Name,
    variables: &[Name],
    value: &ast::Expr,
    span: Span,
    strategy: &mut Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) {
    check_names(&variables.iter().collect::<Vec<_>>(), scope, findings);
    let side = side_of(variables, findings);
    let [q, kv] = match (variables, side) {
        ([q], Some(LetSide::Q)) => [Some(q), None],
        ([kv], _) => [None, Some(kv)],
        _ => [variables.first(), variables.get(1)],
    };
    // Of unknown sides too, so that what is wrong inside is told at once.
    let variables = Variables::of_rule([None, q, kv]);
    let value = Resolver::new(strategy, scope, findings, Setting::TokenLet, variables).any(value);
    declare(name, side.unwrap_or(LetSide::Pair), value.filter(|_| side.is_some()), span, strategy, scope, findings);
}

/// What the variables stand for, or a finding.
fn side_of(variables: &[Name], findings: &mut Findings) -> Option<LetSide> {
    let usual = |name: &Name| match name.text.as_str() {
        "q" => Some(Side::Q),
        "kv" => Some(Side::Kv),
        _ => None,
    };
    if let [one] = variables {
        let side = usual(one);
        if side.is_none() {
            let message = format!("it cannot be told whether `{}` is a query token or a kv token", one.text);
            let help = "call it `q` or `kv`, or name both: `let name(q, kv) = …;`";
            findings.push(Finding::at(Code::UnknownAxis, one.span, message, help));
        }
        return side.map(|side| if side == Side::Q { LetSide::Q } else { LetSide::Kv });
    }
    for (name, side) in variables.iter().zip([Side::Q, Side::Kv]) {
        if usual(name).is_some_and(|usual| usual != side) {
            let place = if side == Side::Q { "the query token" } else { "the kv token" };
            let message = format!("`{}` stands in the place of {place}", name.text);
            let help = "the query token comes first: write `let name(q, kv) = …;`";
            findings.push(Finding::at(Code::TokenValue, name.span, message, help));
            return None;
        }
    }
    Some(LetSide::Pair)
}

fn declare(
    name: &Name,
    side: LetSide,
    value: Option<Expr>,
    span: Span,
    strategy: &mut Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) {
    if !scope.claim(name, findings) {
        return;
    }
    let symbol = match value {
        None => Symbol::Poisoned,
        Some(value) => {
            let operands = count(&value);
            strategy.lets.push(Let { name: name.text.clone(), side, value, span });
            Symbol::Let(LetId(strategy.lets.len() - 1), operands)
        }
    };
    scope.declare(name, symbol);
}

impl Resolver<'_> {
    /// `early` where a value should stand.
    pub(super) fn named(&mut self, id: LetId, operands: usize, name: &Name) -> Option<Expr> {
        if self.strategy.lets[id.0].side != LetSide::None {
            let message = format!("`{}` is a value of tokens, and is read at none", name.text);
            let help = format!("write `{}`", self.form(id));
            return self.wrong(Code::TokenValue, name.span, message, help);
        }
        self.read_name(id, operands, name.span)
    }

    /// `row(q)`; None if the name is of no `let` value.
    pub(super) fn named_at(&mut self, name: &Name, args: &[ast::Expr], span: Span) -> Option<Option<Expr>> {
        match self.scope.peek(&name.text)? {
            &Symbol::Let(id, operands) => Some(self.at_tokens(id, operands, name, args, span)),
            // What it would have been read at is not known.
            Symbol::Poisoned => Some(None),
            _ => None,
        }
    }

    /// Names of values over tokens, for a hint.
    pub(super) fn names_over_tokens(&self) -> impl Iterator<Item = &str> {
        let over_tokens = self.strategy.lets.iter().filter(|of| of.side != LetSide::None);
        over_tokens.map(|of| of.name.as_str())
    }

    fn at_tokens(&mut self, id: LetId, operands: usize, name: &Name, args: &[ast::Expr], span: Span) -> Option<Expr> {
        let sides = self.strategy.lets[id.0].side.sides();
        if sides.is_empty() {
            let message = format!("`{}` is the same for all tokens", name.text);
            return self.wrong(Code::TokenValue, name.span, message, format!("write `{}`", name.text));
        }
        let (message, help) = match (self.grain, self.setting) {
            (Grain::Tokens, _) | (Grain::Plain, Setting::Mask | Setting::Score | Setting::TokenLet) => {
                let read: Vec<Option<Side>> = args.iter().map(|arg| self.variable(arg)).collect();
                if read.iter().copied().eq(sides.iter().map(|&side| Some(side))) {
                    return self.read_name(id, operands, span);
                }
                let tokens = match sides {
                    [Side::Q] => "the query token",
                    [_] => "the kv token",
                    _ => "the query token and the kv token",
                };
                (format!("`{}` is a value of {tokens}", name.text), format!("write `{}`", self.form(id)))
            }
            (Grain::Groups, _) => (
                format!("`{}` is a value of tokens, and inside `blocksum` variables are groups of tokens", name.text),
                "use `.block`, the index of a group".to_owned(),
            ),
            (Grain::Blocks | Grain::PointFree, _) => (
                format!("`{}` is a value of tokens, and here are blocks", name.text),
                "ask it of the tokens of two blocks: `cover(any: …)`".to_owned(),
            ),
            (Grain::Plain, setting) => (
                format!("`{}` is a value of tokens, and there are none in {}", name.text, setting.name()),
                "use params, tables and the step".to_owned(),
            ),
        };
        self.wrong(Code::TokenValue, span, message, help)
    }

    /// The side of a variable that is written alone.
    pub(super) fn variable(&self, arg: &ast::Expr) -> Option<Side> {
        match &arg.kind {
            ast::ExprKind::Name(name) => self.variables.side(name),
            _ => None,
        }
    }

    /// `row(q)`, with the variables of this place.
    fn form(&self, id: LetId) -> String {
        let of = &self.strategy.lets[id.0];
        let sides = of.side.sides().iter();
        let variables: Vec<&str> = sides.map(|&side| self.variables.name(side).unwrap_or(side.name())).collect();
        format!("{}({})", of.name, variables.join(", "))
    }

    fn read_name(&mut self, id: LetId, operands: usize, span: Span) -> Option<Expr> {
        self.nodes += operands;
        if self.nodes > super::expr::MAX_NODES {
            return self.too_large(span);
        }
        Some(self.strategy.named(id, span))
    }
}
