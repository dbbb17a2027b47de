//! Functions whose arguments have a form of their own: those that run over blocks, order maps, covers.

use proc_macro2::Delimiter;

use super::ast::{Binder, Cover, CoverRule, ExprKind, Name, Order, Percentile};
use super::cursor::{Cursor, Parsed};
use super::expr::{nested, operator_hint};
use super::words::{BINDERS, ORDERS};

/// These forms take more of the stack than others, so they count as more levels of nesting.
const FRAMES: usize = 1;

/// What stands in the brackets after this name, if the name has a form of its own; else the name itself.
pub(super) fn arguments(inside: Cursor, name: Name, nesting: usize) -> Parsed<Result<ExprKind, Name>> {
    let word = name.text.as_str();
    // `max(a, b)` and `min(a, b)` are ordinary functions too.
    let function = ["max", "min"].contains(&word);
    if BINDERS.contains(&word) && (!function || starts_binder(inside.clone())) {
        return Ok(Ok(ExprKind::Binder(Box::new(binder(inside, name, nesting)?))));
    }
    if let Some((_, measure, descending)) = ORDERS.into_iter().find(|(known, ..)| *known == word) {
        return order(inside, name, nesting, measure, descending).map(Ok);
    }
    match word {
        "percentile" => percentile(inside, name, nesting).map(Ok),
        "cover" => cover(inside, name, nesting).map(Ok),
        _ => Ok(Err(name)),
    }
}

/// Whether a variable and what it runs over come next.
fn starts_binder(mut inside: Cursor) -> bool {
    let opens = |cursor: &Cursor| cursor.at(":") || cursor.at_word("where") || cursor.at_word("weight");
    if inside.peek_word().is_none() {
        return false;
    }
    inside.skip_token();
    if opens(&inside) {
        return true;
    }
    inside.eat_word("in") && inside.peek_word().is_some() && {
        inside.skip_token();
        opens(&inside)
    }
}

/// `kv in vision where condition weight w: value`
fn binder(mut inside: Cursor, function: Name, nesting: usize) -> Parsed<Binder> {
    let name = &function.text;
    let form =
        format!("write `{name}(kv: value)`, `{name}(v in vision: value)` or `{name}(kv where condition: value)`");
    let variable = inside.name("a variable", &form)?;
    let range = if inside.eat_word("in") { Some(inside.name("a token range", &form)?) } else { None };
    let visible = if inside.eat_word("where") { Some(nested(&mut inside, nesting + FRAMES)?) } else { None };
    let weight = match function.text.as_str() {
        "softmax" if inside.eat_word("weight") => Some(nested(&mut inside, nesting + FRAMES)?),
        _ if inside.at_word("weight") => {
            return Err(inside.unexpected("`:`", "only `softmax` has weights; multiply the value instead"));
        }
        _ => None,
    };
    inside.expect(":", &form)?;
    let value = nested(&mut inside, nesting + FRAMES)?;
    finish(&inside, &form)?;
    Ok(Binder { function, variable, range, visible, weight, value })
}

/// `value per head, first: condition`
fn order(
    mut inside: Cursor,
    name: Name,
    nesting: usize,
    measure: sparsym_ir::expr::Measure,
    descending: bool,
) -> Parsed<ExprKind> {
    let form = format!("write `{0}(x)`, `{0}(x per head)` or `{0}(x, first: condition)`", name.text);
    let value = nested(&mut inside, nesting + FRAMES)?;
    let per_head = per(&mut inside, "head", &form)?;
    let mut first = None;
    if inside.eat(",") && !inside.is_empty() {
        inside.expect_word("first", &form)?;
        inside.expect(":", &form)?;
        first = Some(nested(&mut inside, nesting + FRAMES)?);
    }
    finish(&inside, &form)?;
    Ok(ExprKind::Order(Box::new(Order { name, measure, descending, per_head, value, first })))
}

/// `value per head, share`
fn percentile(mut inside: Cursor, name: Name, nesting: usize) -> Parsed<ExprKind> {
    const FORM: &str = "write `percentile(x, 0.9)` or `percentile(x per head, 0.9)`";
    let value = nested(&mut inside, nesting + FRAMES)?;
    let per_head = per(&mut inside, "head", FORM)?;
    inside.expect(",", FORM)?;
    let share = nested(&mut inside, nesting + FRAMES)?;
    finish(&inside, FORM)?;
    Ok(ExprKind::Percentile(Box::new(Percentile { name, per_head, value, share })))
}

/// `fraction(0.33, 0.6) per frame: condition`
fn cover(mut inside: Cursor, name: Name, nesting: usize) -> Parsed<ExprKind> {
    const FORM: &str = "write `cover(any: condition)`, `cover(all: …)` or `cover(fraction(0.33, 0.6): …)`";
    let rule = match inside.peek_word().as_deref() {
        Some("any") => CoverRule::Any,
        Some("all") => CoverRule::All,
        Some("fraction") => {
            let mut after = inside.clone();
            after.skip_token();
            let mut pair = after.group(Delimiter::Parenthesis).ok_or_else(|| after.unexpected("`(`", FORM))?;
            let least = nested(&mut pair, nesting + FRAMES)?;
            pair.expect(",", FORM)?;
            let share = nested(&mut pair, nesting + FRAMES)?;
            finish(&pair, FORM)?;
            CoverRule::Fraction(Box::new([least, share]))
        }
        _ => return Err(inside.unexpected("`any`, `all` or `fraction`", FORM)),
    };
    inside.skip_token();
    if matches!(rule, CoverRule::Fraction(..)) {
        inside.skip_token();
    }
    let per_frame = per(&mut inside, "frame", FORM)?;
    inside.expect(":", FORM)?;
    let mask = nested(&mut inside, nesting + FRAMES)?;
    finish(&inside, FORM)?;
    Ok(ExprKind::Cover(Box::new(Cover { name, rule, per_frame, mask })))
}

/// `per head`, `per frame`
fn per(inside: &mut Cursor, word: &str, form: &str) -> Parsed<bool> {
    let per = inside.eat_word("per");
    if per {
        inside.expect_word(word, form)?;
    }
    Ok(per)
}

/// The end of the brackets; a trailing comma is fine.
fn finish(inside: &Cursor, form: &str) -> Parsed<()> {
    let mut inside = inside.clone();
    inside.eat(",");
    inside.finish(operator_hint(&inside).unwrap_or(form))
}
