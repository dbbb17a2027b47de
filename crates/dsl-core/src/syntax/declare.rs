//! Clauses that declare something.

use proc_macro2::Delimiter;
use sparsym_ir::{Code, Finding};

use super::ast::*;
use super::cursor::{Cursor, Parsed};

/// `name: type [in range] = default`
pub(super) fn param(cursor: &mut Cursor) -> Parsed<ClauseKind> {
    const FORM: &str = "write `param name: u32 in 1.. = 5;`";
    let name = cursor.name("a name", FORM)?;
    cursor.expect(":", FORM)?;
    let ty = cursor.name("a type", "types are u32, i32, f32 and bool")?;
    let range = if cursor.eat_word("in") { Some(range(cursor)?) } else { None };
    cursor.expect("=", "every param has a default: write `param name: u32 = 5;`")?;
    let default = signed(cursor, FORM)?;
    Ok(ClauseKind::Param { name, ty, range, default })
}

/// `1..`, `0.0..=1.0`, `..10`
fn range(cursor: &mut Cursor) -> Parsed<ParamRange> {
    const FORM: &str = "ranges are written `0..=3`, `1..` or `0.0..=1.0`";
    let start = cursor.here();
    let low = if cursor.at("..") { None } else { Some(signed(cursor, FORM)?) };
    let closed = cursor.eat("..=");
    if !closed {
        cursor.expect("..", FORM)?;
    }
    let high = if closed || !cursor.at("=") { Some(signed(cursor, FORM)?) } else { None };
    if low.is_none() && high.is_none() {
        return Err(Finding::at(
            Code::UnexpectedToken,
            cursor.since(start),
            "the range has no end",
            "leave it out, or give it an end: `1..`",
        )
        .into());
    }
    Ok(ParamRange { low, high, closed, span: cursor.since(start) })
}

/// A literal with an optional minus.
fn signed(cursor: &mut Cursor, form: &str) -> Parsed<Literal> {
    let start = cursor.here();
    let negative = cursor.eat("-");
    let literal = if negative { cursor.literal_after_minus()? } else { cursor.literal()? };
    let literal = literal.ok_or_else(|| cursor.unexpected("a number, `true` or `false`", form))?;
    let kind = match literal.kind {
        LiteralKind::Int(value) if negative => LiteralKind::Int(-value),
        LiteralKind::Float(value) if negative => LiteralKind::Float(-value),
        LiteralKind::Bool(_) if negative => {
            let message = "`-` stands before a number only";
            return Err(Finding::at(Code::BadLiteral, cursor.since(start), message, "write `!`, or remove it").into());
        }
        kind => kind,
    };
    Ok(Literal { kind, span: cursor.since(start) })
}

/// `name: [step, layer, head] of (u32, u32, u32)`
pub(super) fn table(cursor: &mut Cursor) -> Parsed<ClauseKind> {
    const FORM: &str = "write `table name: [step, layer, head] of f32;`";
    let name = cursor.name("a name", FORM)?;
    cursor.expect(":", FORM)?;
    let axes = cursor.group(Delimiter::Bracket).ok_or_else(|| cursor.unexpected("`[`", FORM))?;
    let axes = names(axes, FORM)?;
    cursor.expect_word("of", FORM)?;
    let element = if let Some(inside) = cursor.group(Delimiter::Parenthesis) {
        Element::Tuple(names(inside, "a triple is written `(u32, u32, u32)`")?)
    } else if let Some(inside) = cursor.group(Delimiter::Brace) {
        Element::Variants(names(inside, "names of entries are written `{ full, arrow, reuse }`")?)
    } else {
        Element::One(cursor.name("a type", FORM)?)
    };
    Ok(ClauseKind::Table { name, axes, element })
}

/// `name: [token] of i32`
pub(super) fn input(cursor: &mut Cursor) -> Parsed<ClauseKind> {
    const FORM: &str = "write `input name: [token] of i32;`";
    let name = cursor.name("a name", FORM)?;
    cursor.expect(":", FORM)?;
    let mut inside = cursor.group(Delimiter::Bracket).ok_or_else(|| cursor.unexpected("`[`", FORM))?;
    let axis = inside.name("`token`", FORM)?;
    inside.finish(FORM)?;
    cursor.expect_word("of", FORM)?;
    Ok(ClauseKind::Input { name, axis, ty: cursor.name("a type", FORM)? })
}

/// `text, vision(t, h, w) tiled (6, 8, 8)`
pub(super) fn tokens(cursor: &mut Cursor) -> Parsed<ClauseKind> {
    const FORM: &str = "write `tokens text, vision(t, h, w) tiled (6, 8, 8);`";
    let mut ranges = Vec::new();
    loop {
        let start = cursor.here();
        let name = cursor.name("the name of a range", FORM)?;
        let axes = match cursor.group(Delimiter::Parenthesis) {
            Some(inside) => {
                let place = inside.here();
                let axes = names(inside, "a grid is written `vision(t, h, w)`")?;
                if axes.iter().map(|axis| axis.text.as_str()).ne(["t", "h", "w"]) {
                    let message = "the axes of a grid are t, h, w";
                    return Err(Finding::at(Code::UnexpectedToken, place, message, "write `vision(t, h, w)`").into());
                }
                true
            }
            None => false,
        };
        let tile = if cursor.at_word("tiled") {
            let place = cursor.here();
            cursor.skip_token();
            if !axes {
                let help = format!("write `{}(t, h, w) tiled (…)`", name.text);
                return Err(Finding::at(Code::UnexpectedToken, place, "only a grid can be tiled", help).into());
            }
            Some(tile(cursor)?)
        } else {
            None
        };
        ranges.push(TokenRange { name, grid: axes, tile, span: cursor.since(start) });
        if !cursor.eat(",") {
            return Ok(ClauseKind::Tokens(ranges));
        }
    }
}

/// `(6, 8, 8)`
fn tile(cursor: &mut Cursor) -> Parsed<[u32; 3]> {
    const FORM: &str = "a tile is written `(6, 8, 8)`: tokens along t, h, w";
    let mut inside = cursor.group(Delimiter::Parenthesis).ok_or_else(|| cursor.unexpected("`(`", FORM))?;
    let mut extents = [0; 3];
    for (axis, extent) in extents.iter_mut().enumerate() {
        if axis > 0 {
            inside.expect(",", FORM)?;
        }
        let literal = signed(&mut inside, FORM)?;
        *extent = match literal.kind {
            LiteralKind::Int(value @ 1..=65_536) => value as u32,
            _ => {
                let message = "an extent of a tile is an integer from 1 to 65536";
                return Err(Finding::at(Code::BadLiteral, literal.span, message, FORM).into());
            }
        };
    }
    inside.eat(",");
    inside.finish(FORM)?;
    Ok(extents)
}

/// `q = 128, kv = 128`
pub(super) fn blocks(cursor: &mut Cursor) -> Parsed<ClauseKind> {
    const FORM: &str = "write `blocks q = 128, kv = 128;`";
    cursor.expect_word("q", FORM)?;
    cursor.expect("=", FORM)?;
    let q = signed(cursor, FORM)?;
    cursor.expect(",", FORM)?;
    cursor.expect_word("kv", FORM)?;
    cursor.expect("=", FORM)?;
    Ok(ClauseKind::Blocks { q, kv: signed(cursor, FORM)? })
}

/// `vision by tile`, `by order`
pub(super) fn permute(cursor: &mut Cursor) -> Parsed<ClauseKind> {
    const FORM: &str = "write `permute vision by tile;`, or `permute by order;` with an input of u32";
    let range = if cursor.at_word("by") { None } else { Some(cursor.name("a token range or `by`", FORM)?) };
    cursor.expect_word("by", FORM)?;
    if range.is_some() && !cursor.at_word("tile") {
        return Err(cursor.unexpected("`tile`", FORM));
    }
    Ok(ClauseKind::Permute { range, by: cursor.name("the name of an input", FORM)? })
}

/// Names separated by commas, to the end of a bracket.
fn names(mut inside: Cursor, form: &str) -> Parsed<Vec<Name>> {
    let mut names = Vec::new();
    while !inside.is_empty() {
        names.push(inside.name("a name", form)?);
        if !inside.eat(",") {
            inside.finish(form)?;
        }
    }
    Ok(names)
}
