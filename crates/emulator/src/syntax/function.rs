//! Entries and functions.

use super::ast::{Directives, Function, FunctionKind};
use super::body::body;
use super::cursor::{Cursor, Parsed};
use super::lex::Kind;
use super::source::Sources;
use super::variable::params;

/// `name(params) directives { … }`; for a device function with `(returns)` before. `.entry` or `.func` was read.
pub(super) fn function<'a>(cursor: &mut Cursor<'a>, sources: &mut Sources<'a>, kind: FunctionKind) -> Parsed<Function> {
    let returns = if kind == FunctionKind::Device && cursor.eat("(") { params(cursor)? } else { Vec::new() };
    let position = cursor.here();
    let name = cursor.name("the name of a function")?.to_owned();
    let params = if cursor.eat("(") { params(cursor)? } else { Vec::new() };
    let mut function = Function {
        name,
        kind,
        params,
        returns,
        directives: directives(cursor)?,
        registers: Vec::new(),
        body: Vec::new(),
        labels: Vec::new(),
        label_names: Vec::new(),
        shared: Vec::new(),
        local: Vec::new(),
        call_params: Vec::new(),
        branch_tables: Vec::new(),
        prototypes: Vec::new(),
        position,
    };
    if cursor.eat(";") {
        function.kind = FunctionKind::Extern;
    } else if cursor.eat("{") {
        sources.start_function();
        body(cursor, sources, &mut function)?;
    } else {
        return Err(cursor.unexpected("`{` or `;`"));
    }
    Ok(function)
}

fn directives(cursor: &mut Cursor<'_>) -> Parsed<Directives> {
    let mut directives = Directives::default();
    while cursor.peek().kind == Kind::Dotted {
        let directive = cursor.next();
        match directive.text {
            ".maxntid" => directives.max_threads = Some(extent(cursor)?),
            ".reqntid" => directives.required_threads = Some(extent(cursor)?),
            ".minnctapersm" => directives.min_ctas = Some(cursor.unsigned("a number of CTAs")?),
            ".maxnreg" => directives.max_registers = Some(cursor.unsigned("a number of registers")?),
            ".reqnctapercluster" => directives.required_cluster = Some(extent(cursor)?),
            ".maxclusterrank" => directives.max_cluster_rank = Some(cursor.unsigned("a number of CTAs")?),
            ".explicitcluster" => directives.explicit_cluster = true,
            ".noreturn" => directives.noreturn = true,
            ".pragma" => {
                cursor.text("a pragma")?;
                cursor.expect(";")?;
            }
            _ => return Err(directive.instead_of("a directive that may stand before a body")),
        }
    }
    Ok(directives)
}

/// `x`, `x, y` or `x, y, z`.
fn extent(cursor: &mut Cursor<'_>) -> Parsed<[u32; 3]> {
    let mut extent = [cursor.unsigned("a number")?, 1, 1];
    for size in &mut extent[1..] {
        if !cursor.eat(",") {
            break;
        }
        *size = cursor.unsigned("a number")?;
    }
    Ok(extent)
}
