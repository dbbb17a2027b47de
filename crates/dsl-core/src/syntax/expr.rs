//! Expressions, loosest binding first:
//!
//! ```text
//! expr       = and { "||" and }
//! and        = comparison { "&&" comparison }
//! comparison = sum [ ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) sum ] [ "at" "least" sum ]
//! sum        = product { ( "+" | "-" ) product }
//! product    = unary { ( "*" | "/" | "%" ) unary }
//! unary      = { "-" | "!" } postfix
//! postfix    = primary { "." NAME [ arguments ] | "[" NAME { "," NAME } "]" }
//! primary    = LITERAL | "(" expr { "," expr } ")" | NAME [ "in" NAME | arguments ]
//! arguments  = "(" ( [ expr { "," expr } ] | running | ordered | share | covered ) ")"
//! running    = NAME [ "in" NAME ] [ "where" expr ] [ "weight" expr ] ":" expr         sum mean max min softmax
//! ordered    = expr [ "per" "head" ] [ "," "first" ":" expr ]                         ascending_rank, …
//! share      = expr [ "per" "head" ] "," expr                                         percentile
//! covered    = ( "any" | "all" | "fraction" "(" expr "," expr ")" ) [ "per" "frame" ] ":" expr      cover
//! ```
//!
//! `NAME arguments` after a `.` is the right side of a product of tensors, `pool(Q) . pool(K)`. The last four kinds of
//! arguments are in [`binder`].

use proc_macro2::Delimiter;
use sparsym_ir::expr::{BinaryOp, UnaryOp};
use sparsym_ir::{Code, Finding, Span};

use super::ast::{Expr, ExprKind, LiteralKind, Name};
use super::binder;
use super::cursor::{Cursor, Parsed, Problem};
use super::words::LATER_FUNCTIONS;

/// Levels of nesting that an expression may have.
pub(crate) const MAX_DEPTH: usize = 100;

/// Binary operators by level; at each level the longer spelling stands first.
const LEVELS: [&[BinaryOp]; 5] = [
    &[BinaryOp::Or],
    &[BinaryOp::And],
    &[BinaryOp::Le, BinaryOp::Ge, BinaryOp::Eq, BinaryOp::Ne, BinaryOp::Lt, BinaryOp::Gt],
    &[BinaryOp::Add, BinaryOp::Sub],
    &[BinaryOp::Mul, BinaryOp::Div, BinaryOp::Rem],
];
const COMPARISON: usize = 2;

/// Reads one expression.
pub(crate) fn expr(cursor: &mut Cursor) -> Parsed<Expr> {
    nested(cursor, 0)
}

/// Reads an expression inside one that is `nesting` levels deep.
pub(super) fn nested(cursor: &mut Cursor, nesting: usize) -> Parsed<Expr> {
    binary(cursor, 0, nesting + 1)
}

/// What to say when an expression is followed by something that looks like an operator of another language.
pub(crate) fn operator_hint(cursor: &Cursor) -> Option<&'static str> {
    let words = [("and", "write `&&`"), ("or", "write `||`"), ("as", "write `float(x)` to convert an integer")];
    let operators = [
        ("=", "`==` compares two values"),
        ("&", "write `&&`"),
        ("|", "write `||`"),
        ("^", "powers are written as products"),
        ("..", "write two comparisons joined by `&&`"),
    ];
    let word = words.into_iter().find(|(word, _)| cursor.at_word(word));
    word.or_else(|| operators.into_iter().find(|(operator, _)| cursor.at(operator))).map(|(_, hint)| hint)
}

/// Operators of level `least` and tighter. `nesting` counts the recursion of the parser itself; the depth of the tree also
/// grows with chains of operators.
fn binary(cursor: &mut Cursor, least: usize, nesting: usize) -> Parsed<Expr> {
    let mut left = unary(cursor, nesting)?;
    let mut compared = false;
    loop {
        if least <= COMPARISON && cursor.eat_word("at") {
            cursor.expect_word("least", "write `ascending_mass(x) <= tau at least 1`")?;
            let right = binary(cursor, COMPARISON + 1, nesting)?;
            left = joined(ExprKind::AtLeast, left, right)?;
            continue;
        }
        let Some((level, op)) = operator(cursor, least) else { return Ok(left) };
        if compared && level == COMPARISON {
            return Err(
                cursor.unexpected("the end of the comparison", "comparisons do not chain: write `a < b && b < c`")
            );
        }
        cursor.eat(op.symbol());
        let right = binary(cursor, level + 1, nesting)?;
        left = joined(|left, right| ExprKind::Binary(op, left, right), left, right)?;
        compared = level == COMPARISON;
    }
}

/// The operator that comes next and its level, if it binds tightly enough.
fn operator(cursor: &Cursor, least: usize) -> Option<(usize, BinaryOp)> {
    let levels = LEVELS.iter().enumerate().skip(least);
    let mut operators = levels.flat_map(|(level, operators)| operators.iter().map(move |&op| (level, op)));
    operators.find(|(_, op)| cursor.at(op.symbol()))
}

fn joined(kind: impl FnOnce(Box<Expr>, Box<Expr>) -> ExprKind, left: Expr, right: Expr) -> Parsed<Expr> {
    let (span, depth) = (left.span.to(right.span), left.depth.max(right.depth));
    node(kind(Box::new(left), Box::new(right)), span, depth)
}

fn unary(cursor: &mut Cursor, nesting: usize) -> Parsed<Expr> {
    let start = cursor.here();
    if nesting > MAX_DEPTH {
        return Err(too_deep(start));
    }
    let op = match () {
        () if cursor.eat("-") => UnaryOp::Neg,
        () if cursor.eat("!") => UnaryOp::Not,
        () => return postfix(cursor, nesting),
    };
    if op == UnaryOp::Neg
        && let Some(least) = least_integer(cursor)
    {
        return node(ExprKind::Literal(least), cursor.since(start), 0);
    }
    let operand = unary(cursor, nesting + 1)?;
    let (span, depth) = (start.to(operand.span), operand.depth);
    node(ExprKind::Unary(op, Box::new(operand)), span, depth)
}

/// Behind a minus: reads the one number that is no integer without it.
fn least_integer(cursor: &mut Cursor) -> Option<LiteralKind> {
    const LEAST: i64 = i32::MIN as i64;
    let mut attempt = cursor.clone();
    let literal = attempt.literal_after_minus().ok()??;
    matches!(literal.kind, LiteralKind::Int(value) if value == -LEAST).then(|| {
        *cursor = attempt;
        LiteralKind::Int(LEAST)
    })
}

fn postfix(cursor: &mut Cursor, nesting: usize) -> Parsed<Expr> {
    let mut value = primary(cursor, nesting)?;
    loop {
        if cursor.at(".") && !cursor.at("..") {
            cursor.eat(".");
            let field = cursor.name("a coordinate", "coordinates are .pos .block .t .h .w .frame .cell .tile .len")?;
            if cursor.at_group(Delimiter::Parenthesis) {
                let right = call(cursor, field, nesting)?;
                value = joined(ExprKind::Dot, value, right)?;
            } else {
                let (span, depth) = (value.span.to(field.span), value.depth);
                value = node(ExprKind::Field(Box::new(value), field), span, depth)?;
            }
        } else if let Some(inside) = cursor.group(Delimiter::Bracket) {
            let variables = index(inside)?;
            let (span, depth) = (cursor.since(value.span), value.depth);
            value = node(ExprKind::Index(Box::new(value), variables), span, depth)?;
        } else {
            return Ok(value);
        }
    }
}

fn primary(cursor: &mut Cursor, nesting: usize) -> Parsed<Expr> {
    let start = cursor.here();
    if let Some(literal) = cursor.literal()? {
        return node(ExprKind::Literal(literal.kind), literal.span, 0);
    }
    if let Some(inside) = cursor.group(Delimiter::Parenthesis) {
        let mut parts = list(inside, nesting)?;
        let span = cursor.since(start);
        return match parts.len() {
            0 => Err(Finding::at(Code::UnexpectedToken, span, "expected a value, found `()`", "write a value").into()),
            1 => Ok(Expr { span, ..parts.remove(0) }),
            _ => tree(ExprKind::Tuple, parts, span),
        };
    }
    const VALUES: &str = "a value is a literal, a name, a function call or an expression in brackets";
    if cursor.at_word("if") || cursor.at_word("match") {
        return Err(cursor.unexpected("a value", "conditions are joined by `&&` and `||`, values by `min` and `max`"));
    }
    let name = cursor.name("a value", VALUES)?;
    if cursor.eat_word("in") {
        let range = cursor.name("a token range", "write `q in text`")?;
        return node(ExprKind::In(name, range), cursor.since(start), 0);
    }
    if cursor.at_group(Delimiter::Parenthesis) {
        return call(cursor, name, nesting);
    }
    node(ExprKind::Name(name.text), name.span, 0)
}

/// What is in the brackets after a name.
fn call(cursor: &mut Cursor, name: Name, nesting: usize) -> Parsed<Expr> {
    if LATER_FUNCTIONS.contains(&name.text.as_str()) {
        return Err(Problem::Later(name.span));
    }
    let start = name.span;
    let Some(inside) = cursor.group(Delimiter::Parenthesis) else {
        return Err(cursor.unexpected("`(`", "functions are called with brackets"));
    };
    let span = cursor.since(start);
    let name = match binder::arguments(inside.clone(), name, nesting)? {
        Ok(kind) => {
            let parts = Expr { kind, span, depth: 0 };
            let depth = parts.children().iter().map(|part| part.depth).max().unwrap_or(0);
            return node(parts.kind, span, depth);
        }
        Err(name) => name,
    };
    let args = list(inside, nesting)?;
    tree(|args| ExprKind::Call(name, args), args, span)
}

/// `[q]`, `[q, kv]`
fn index(mut inside: Cursor) -> Parsed<Vec<Name>> {
    const FORM: &str = "an input is read at a token: `document[q]`, a map at blocks: `s[q, kv]`";
    let mut variables = vec![inside.name("a variable", FORM)?];
    while inside.eat(",") && !inside.is_empty() {
        variables.push(inside.name("a variable", FORM)?);
    }
    inside.finish(FORM)?;
    Ok(variables)
}

/// Expressions separated by commas; a trailing comma is fine.
fn list(mut inside: Cursor, nesting: usize) -> Parsed<Vec<Expr>> {
    let mut items = Vec::new();
    while !inside.is_empty() {
        items.push(nested(&mut inside, nesting)?);
        if !inside.eat(",") {
            let help = operator_hint(&inside).unwrap_or("separate values by commas and join them by operators");
            inside.finish(help)?;
        }
    }
    Ok(items)
}

fn tree(kind: impl FnOnce(Vec<Expr>) -> ExprKind, parts: Vec<Expr>, span: Span) -> Parsed<Expr> {
    let depth = parts.iter().map(|part| part.depth).max().unwrap_or(0);
    node(kind(parts), span, depth)
}

fn node(kind: ExprKind, span: Span, depth_below: usize) -> Parsed<Expr> {
    let depth = depth_below + 1;
    if depth > MAX_DEPTH { Err(too_deep(span)) } else { Ok(Expr { kind, span, depth }) }
}

fn too_deep(span: Span) -> Problem {
    Finding::at(
        Code::TooLarge,
        span,
        format!("the expression nests more than {MAX_DEPTH} levels deep"),
        "a long chain of operators is a level for each; use a table or an input instead",
    )
    .into()
}
