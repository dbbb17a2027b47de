//! Variables, parameters, and their types.

use super::ast::{InitValue, Linkage, Param, Position, RegisterClass, Space, Variable};
use super::cursor::{Cursor, Parsed};
use super::error::SyntaxError;
use super::lex::Kind;
use super::operand::offset;

/// The linkage that comes next.
pub(super) fn linkage(cursor: &mut Cursor<'_>) -> Linkage {
    let all = [
        (".extern", Linkage::Extern),
        (".visible", Linkage::Visible),
        (".weak", Linkage::Weak),
        (".common", Linkage::Common),
    ];
    all.into_iter().find(|(word, _)| cursor.eat_dotted(word)).map_or(Linkage::Internal, |(_, linkage)| linkage)
}

/// The space of variables that comes next, if one does.
pub(super) fn space(cursor: &mut Cursor<'_>) -> Option<Space> {
    let all = [
        (".const", Space::Const),
        (".global", Space::Global),
        (".shared", Space::Shared),
        (".local", Space::Local),
        (".param", Space::Param),
    ];
    all.into_iter().find(|(word, _)| cursor.eat_dotted(word)).map(|(_, space)| space)
}

/// `.align 4 .b8 name[16] = {1, 2};` and its like; linkage and space were read. `declare` says how the variable is
/// called in the tree.
pub(super) fn variable<'a>(
    cursor: &mut Cursor<'a>,
    linkage: Linkage,
    space: Space,
    declare: impl FnOnce(&'a str, Position) -> Parsed<String>,
) -> Parsed<Variable> {
    let head = Head::read(cursor)?;
    let position = cursor.here();
    let name = declare(cursor.name("the name of a variable")?, position)?;
    let mut bytes = array_bytes(cursor, head.bytes)?;
    let init = if cursor.eat("=") { initial_values(cursor)? } else { Vec::new() };
    let filled = init.len() as u64 * head.bytes;
    if bytes.is_none() && !init.is_empty() {
        bytes = Some(filled);
    }
    if bytes.is_some_and(|bytes| filled > bytes) {
        return Err(SyntaxError::at(position, format!("`{name}` has more initial values than elements")));
    }
    cursor.expect(";")?;
    Ok(Variable { space, linkage, align: head.align, element_bytes: head.bytes, name, bytes, init, position })
}

/// `(.param .b32 a, .param .align 8 .b8 b[32])`, in C layout; the opening bracket was read.
pub(super) fn params(cursor: &mut Cursor<'_>) -> Parsed<Vec<Param>> {
    let mut end = 0u64;
    cursor.list(")", |cursor| {
        if !cursor.eat_dotted(".param") && !cursor.eat_dotted(".reg") {
            return Err(cursor.unexpected("`.param`"));
        }
        let head = Head::read(cursor)?;
        let position = cursor.here();
        let name = cursor.name("the name of a parameter")?.to_owned();
        let bytes = array_bytes(cursor, head.bytes)?.unwrap_or(0);
        let too_large = || SyntaxError::at(position, format!("`{name}` ends beyond the 64-bit address space"));
        let offset = end.checked_next_multiple_of(head.align).ok_or_else(too_large)?;
        end = offset.checked_add(bytes).ok_or_else(too_large)?;
        Ok(Param { name, offset, bytes, align: head.align })
    })
}

/// The class of registers that comes next.
pub(super) fn register_class(cursor: &mut Cursor<'_>) -> Parsed<RegisterClass> {
    let class = match cursor.peek().text {
        ".pred" => RegisterClass::Pred,
        ".b16" | ".u16" | ".s16" | ".f16" | ".bf16" => RegisterClass::B16,
        ".b32" | ".u32" | ".s32" | ".f32" | ".f16x2" | ".bf16x2" => RegisterClass::B32,
        ".b64" | ".u64" | ".s64" | ".f64" => RegisterClass::B64,
        _ => return Err(cursor.unexpected("a type of registers")),
    };
    cursor.next();
    Ok(class)
}

/// What stands before the name: alignment and the size of an element, in any order.
struct Head {
    align: u64,
    bytes: u64,
}

impl Head {
    fn read(cursor: &mut Cursor<'_>) -> Parsed<Head> {
        let (mut align, mut bytes, mut lanes) = (None, None, 1);
        while cursor.peek().kind == Kind::Dotted {
            if cursor.eat_dotted(".align") {
                align = Some(alignment(cursor)?);
            } else if cursor.eat_dotted(".v2") {
                lanes = 2;
            } else if cursor.eat_dotted(".v4") {
                lanes = 4;
            } else if cursor.eat_dotted(".ptr") {
                // What a pointer points to is a hint: the space, then an alignment of that.
                space(cursor);
                if cursor.eat_dotted(".align") {
                    alignment(cursor)?;
                }
            } else if cursor.eat_dotted(".attribute") {
                attribute(cursor)?;
            } else {
                let Some(size) = type_bytes(cursor.peek().text) else { return Err(cursor.unexpected("a type")) };
                bytes = Some(size);
                cursor.next();
            }
        }
        let bytes = bytes.ok_or_else(|| cursor.unexpected("a type"))? * lanes;
        Ok(Head { align: align.unwrap_or(bytes), bytes })
    }
}

fn type_bytes(name: &str) -> Option<u64> {
    Some(match name {
        ".b8" | ".u8" | ".s8" => 1,
        ".b16" | ".u16" | ".s16" | ".f16" | ".bf16" => 2,
        ".b32" | ".u32" | ".s32" | ".f32" | ".f16x2" | ".bf16x2" => 4,
        ".b64" | ".u64" | ".s64" | ".f64" => 8,
        ".b128" => 16,
        _ => return None,
    })
}

fn alignment(cursor: &mut Cursor<'_>) -> Parsed<u64> {
    let position = cursor.here();
    let align = cursor.unsigned::<u64>("an alignment")?;
    if align.is_power_of_two() {
        return Ok(align);
    }
    Err(SyntaxError::at(position, format!("expected a power of two as alignment, found `{align}`")))
}

/// `(.managed)`, `(.unified(1, 2))`: without a meaning for one module.
fn attribute(cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.expect("(")?;
    let mut open = 1;
    while open > 0 {
        if cursor.at_end() {
            return Err(cursor.unexpected("`)`"));
        }
        open += usize::from(cursor.at("("));
        open -= usize::from(cursor.at(")"));
        cursor.next();
    }
    Ok(())
}

/// The size of all elements: `[4][8]`, or nothing for one; None for `[]`.
fn array_bytes(cursor: &mut Cursor<'_>, element: u64) -> Parsed<Option<u64>> {
    let mut bytes = Some(element);
    while cursor.eat("[") {
        if cursor.eat("]") {
            bytes = None;
            continue;
        }
        let position = cursor.here();
        let count = cursor.unsigned::<u64>("a number of elements")?;
        cursor.expect("]")?;
        if let Some(size) = bytes {
            let too_large = || SyntaxError::at(position, "the array is larger than the 64-bit address space");
            bytes = Some(size.checked_mul(count).ok_or_else(too_large)?);
        }
    }
    Ok(bytes)
}

fn initial_values(cursor: &mut Cursor<'_>) -> Parsed<Vec<InitValue>> {
    if cursor.eat("{") { cursor.list("}", initial_value) } else { Ok(vec![initial_value(cursor)?]) }
}

fn initial_value(cursor: &mut Cursor<'_>) -> Parsed<InitValue> {
    if cursor.at("-") || cursor.peek().kind == Kind::Number {
        return cursor.signed_number().map(InitValue::from);
    }
    let name = cursor.name("an initial value")?;
    let generic = name == "generic" && cursor.eat("(");
    let name = if generic { cursor.name("the name of a variable")? } else { name };
    if generic {
        cursor.expect(")")?;
    }
    Ok(InitValue::Address { name: name.to_owned(), offset: offset(cursor)?, generic })
}
