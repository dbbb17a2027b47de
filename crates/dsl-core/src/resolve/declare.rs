//! Declarations: params, tables, inputs, token ranges, block sizes.

use std::collections::BTreeMap;

use sparsym_ir::expr::Type;
use sparsym_ir::strategy::{
    Blocks, Element, Grid, Input, InputId, Param, ParamId, RangeId, Scalar, Table, TableAxis, TableId, TokenRange,
    Value,
};
use sparsym_ir::{Code, Finding, Findings, Strategy};

use super::scope::{Scope, Symbol};
use crate::syntax::ast::{self, Clause, ClauseKind, Literal, LiteralKind, Name, ParamRange};
use crate::syntax::words::closest;

/// Declares what the clause declares; false if the clause declares nothing.
pub(super) fn declare(clause: &Clause, strategy: &mut Strategy, scope: &mut Scope, findings: &mut Findings) -> bool {
    let name = match &clause.kind {
        ClauseKind::Param { name, .. } | ClauseKind::Table { name, .. } | ClauseKind::Input { name, .. } => name,
        ClauseKind::Tokens(ranges) => {
            tokens(clause, ranges, strategy, scope, findings);
            return true;
        }
        ClauseKind::Blocks { q, kv } => {
            findings.extend(blocks(q, kv, strategy).err());
            return true;
        }
        _ => return false,
    };
    if !scope.claim(name, findings) {
        return true;
    }
    let declared = match &clause.kind {
        ClauseKind::Param { ty, range, default, .. } => param(clause, name, ty, range.as_ref(), default, strategy),
        ClauseKind::Table { axes, element, .. } => table(clause, name, axes, element, strategy),
        ClauseKind::Input { axis, ty, .. } => input(clause, name, axis, ty, strategy),
        _ => return false,
    };
    let symbol = declared.unwrap_or_else(|finding| {
        findings.push(finding);
        Symbol::Poisoned
    });
    scope.declare(name, symbol);
    true
}

/// The name of the strategy becomes a type, a command-line name and part of file names.
pub(super) fn strategy_name(name: &Name, findings: &mut Findings) {
    let camel =
        name.text.starts_with(|c: char| c.is_ascii_uppercase()) && name.text.chars().all(|c| c.is_ascii_alphanumeric());
    if !camel || name.text == "Self" {
        findings.push(Finding::at(
            Code::ReservedName,
            name.span,
            format!("`{}` cannot name a strategy", name.text),
            "use ASCII letters and digits in UpperCamelCase, for instance `SlidingTile`",
        ));
    }
}

fn param(
    clause: &Clause,
    name: &Name,
    ty: &Name,
    range: Option<&ParamRange>,
    default: &Literal,
    strategy: &mut Strategy,
) -> Result<Symbol, Finding> {
    let scalar = scalar(ty)?;
    let default = value(default, scalar)?;
    let (min, max) = match range {
        Some(range) => ends(range, scalar)?,
        None => (None, None),
    };
    let (name, doc, span) = (name.text.clone(), clause.doc.clone(), clause.span);
    strategy.params.push(Param { name, doc, scalar, min, max, default, span });
    Ok(Symbol::Param(ParamId(strategy.params.len() - 1)))
}

/// The inclusive ends of a param's range.
fn ends(range: &ParamRange, scalar: Scalar) -> Result<(Option<Value>, Option<Value>), Finding> {
    if scalar == Scalar::Bool {
        let help = "remove the range: a bool is `true` or `false`";
        return Err(Finding::at(Code::TypeMismatch, range.span, "a bool has no range", help));
    }
    let low = range.low.as_ref().map(|low| value(low, scalar)).transpose()?;
    let high = match &range.high {
        None => None,
        Some(high) if range.closed => Some(value(high, scalar)?),
        Some(high) => match value(high, scalar)? {
            Value::Int(end) => Some(Value::Int(end - 1)),
            _ => {
                let message = "a range of floats includes its end";
                return Err(Finding::at(Code::UnexpectedToken, range.span, message, "write `..=`"));
            }
        },
    };
    Ok((low, high))
}

/// A literal as a value of that type; an integer may stand for a float.
fn value(literal: &Literal, scalar: Scalar) -> Result<Value, Finding> {
    match (scalar, literal.kind) {
        (Scalar::Bool, LiteralKind::Bool(value)) => Ok(Value::Bool(value)),
        (Scalar::I32, LiteralKind::Int(value)) => Ok(Value::Int(value)),
        (Scalar::U32, LiteralKind::Int(value)) if value >= 0 => Ok(Value::Int(value)),
        (Scalar::U32, LiteralKind::Int(_)) => {
            let message = "a u32 is not negative";
            Err(Finding::at(Code::BadLiteral, literal.span, message, "use i32, or a value from 0 on"))
        }
        (Scalar::F32, LiteralKind::Int(value)) => Ok(Value::Float(value as f64)),
        (Scalar::F32, LiteralKind::Float(value)) => Ok(Value::Float(value)),
        (_, found) => {
            let found = match found {
                LiteralKind::Bool(_) => "a bool",
                LiteralKind::Int(_) => "an integer",
                LiteralKind::Float(_) => "a float",
            };
            let message = format!("expected a {}, found {found}", scalar.name());
            Err(Finding::at(Code::TypeMismatch, literal.span, message, "change the value or the type of the param"))
        }
    }
}

fn scalar(ty: &Name) -> Result<Scalar, Finding> {
    let all = [Scalar::U32, Scalar::I32, Scalar::F32, Scalar::Bool];
    all.into_iter().find(|scalar| scalar.name() == ty.text).ok_or_else(|| {
        let help = match closest(&ty.text, all.map(Scalar::name)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "types are u32, i32, f32 and bool".to_owned(),
        };
        Finding::at(Code::UndefinedName, ty.span, format!("there is no type `{}`", ty.text), help)
    })
}

fn table(
    clause: &Clause,
    name: &Name,
    axes: &[Name],
    element: &ast::Element,
    strategy: &mut Strategy,
) -> Result<Symbol, Finding> {
    const AXES: [TableAxis; 3] = [TableAxis::Step, TableAxis::Layer, TableAxis::Head];
    let help = "axes are `step`, `layer`, `head`, each once and in this order";
    let mut declared: Vec<TableAxis> = Vec::new();
    for axis in axes {
        let found = AXES.into_iter().find(|known| known.name() == axis.text).ok_or_else(|| {
            Finding::at(Code::UndefinedName, axis.span, format!("a table has no axis `{}`", axis.text), help)
        })?;
        if declared.last().is_some_and(|&last| last >= found) {
            let message = format!("axis `{}` stands twice or in the wrong order", axis.text);
            return Err(Finding::at(Code::DuplicateName, axis.span, message, help));
        }
        declared.push(found);
    }
    if declared.is_empty() {
        let message = format!("table `{}` has no axis", name.text);
        return Err(Finding::at(Code::UnexpectedToken, name.span, message, "a single value is a param"));
    }
    let variants = match element {
        ast::Element::Variants(names) => variants(name, names)?,
        _ => Vec::new(),
    };
    let element = match element {
        ast::Element::One(ty) => Some(Element::One(scalar(ty)?)),
        ast::Element::Tuple(types) => match types.iter().map(scalar).collect::<Result<Vec<_>, _>>()?[..] {
            [a, b, c] if a == b && b == c && a.ty() == Type::Int => Some(Element::Three(a)),
            _ => None,
        },
        ast::Element::Variants(_) => Some(Element::One(Scalar::U32)),
    };
    let Some(element) = element else {
        let message = "an entry is one value, or three integers of one type";
        let help = "write `of f32`, `of (u32, u32, u32)`, or the names of its values: `of { full, arrow }`";
        return Err(Finding::at(Code::TypeMismatch, clause.span, message, help));
    };
    let (name, doc, span) = (name.text.clone(), clause.doc.clone(), clause.span);
    strategy.tables.push(Table { name, doc, axes: declared, element, variants, span });
    Ok(Symbol::Table(TableId(strategy.tables.len() - 1)))
}

/// Names of the values of an entry.
fn variants(table: &Name, names: &[Name]) -> Result<Vec<String>, Finding> {
    if names.is_empty() {
        let message = format!("the entries of table `{}` have no names", table.text);
        return Err(Finding::at(Code::UnexpectedToken, table.span, message, "write `of { full, arrow, reuse }`"));
    }
    let mut known: BTreeMap<&str, &Name> = BTreeMap::new();
    for name in names {
        if let Some(first) = known.insert(&name.text, name) {
            let message = format!("`{}` names two entries", name.text);
            let finding = Finding::at(Code::DuplicateName, name.span, message, "name each entry once");
            return Err(finding.label(first.span, "first named here"));
        }
        if syn::parse_str::<syn::Ident>(&name.text).is_err() {
            let message = format!("`{}` is a keyword of Rust", name.text);
            return Err(Finding::at(Code::ReservedName, name.span, message, "choose another name"));
        }
    }
    Ok(names.iter().map(|name| name.text.clone()).collect())
}

fn input(clause: &Clause, name: &Name, axis: &Name, ty: &Name, strategy: &mut Strategy) -> Result<Symbol, Finding> {
    if axis.text != "token" {
        let message = format!("an input has no axis `{}`", axis.text);
        return Err(Finding::at(Code::UndefinedName, axis.span, message, "inputs have one value for each `[token]`"));
    }
    let scalar = scalar(ty)?;
    let (name, doc, span) = (name.text.clone(), clause.doc.clone(), clause.span);
    strategy.inputs.push(Input { name, doc, scalar, span });
    Ok(Symbol::Input(InputId(strategy.inputs.len() - 1)))
}

fn tokens(
    clause: &Clause,
    ranges: &[crate::syntax::ast::TokenRange],
    strategy: &mut Strategy,
    scope: &mut Scope,
    findings: &mut Findings,
) {
    if let Some(first) = strategy.tokens.first() {
        let help = "name all ranges in one clause, in sequence order";
        let finding = Finding::at(Code::DuplicateClause, clause.span, "`tokens` is given twice", help);
        findings.push(finding.label(first.span, "first given here"));
    }
    for range in ranges {
        if !scope.claim(&range.name, findings) {
            continue;
        }
        let grid = range.grid.then(|| range.tile.map_or(Grid::Raster, Grid::Tiled));
        let id = RangeId(strategy.tokens.len());
        strategy.tokens.push(TokenRange { name: range.name.text.clone(), grid, span: range.span });
        scope.declare(&range.name, Symbol::Range(id));
    }
}

fn blocks(q: &Literal, kv: &Literal, strategy: &mut Strategy) -> Result<(), Finding> {
    let size = |literal: &Literal| match literal.kind {
        LiteralKind::Int(value @ 1..=65_536) if value % 16 == 0 => Ok(value as u32),
        _ => Err(Finding::at(
            Code::BadLiteral,
            literal.span,
            "a block size is a multiple of 16 from 16 to 65536",
            "use 64 or 128",
        )),
    };
    strategy.blocks = Blocks { q: size(q)?, kv: size(kv)? };
    Ok(())
}
