//! Named values: a `const` with the author's name in each function that reads it. What a token rule names of the query token
//! is computed once for a row, before the loop over its columns.

use sparsym_ir::Expr;
use sparsym_ir::expr::{ExprKind, Side, Type};
use sparsym_ir::lets::{Let, Named};

use super::body::{Body, Statement, Word, call_of, declare, define, free_names, signature};
use super::cuda::{Cuda, name};
use super::expr::{Lowering, RowValues};

impl Lowering<'_> {
    /// A named value.
    pub(super) fn named(&self, named: &Named) -> Cuda {
        let word = &self.strategy.lets[named.id.0].name;
        match self.rows {
            RowValues::Kept if named.is_of_row() => name("row").member(word),
            _ => name(word),
        }
    }

    /// Declares the named values that a body reads, and goes on with it.
    pub(super) fn with_lets(&self, body: Body) -> Body {
        self.with_lets_as(body, |of| Some((c_type(of.value.ty), self.expr(&of.value))))
    }

    /// The same with the type and value that are given for each; None: it is declared elsewhere.
    pub(super) fn with_lets_as(&self, body: Body, value: impl Fn(&Let) -> Option<(&'static str, Cuda)>) -> Body {
        let mut free: Vec<String> = free_names(&body).into_iter().map(str::to_owned).collect();
        let mut locals = Body::new();
        // A value reads only names before it.
        for of in self.strategy.lets.iter().rev() {
            if free.contains(&of.name)
                && let Some((ty, value)) = value(of)
            {
                let local = [declare(ty, &of.name, value)];
                free.extend(free_names(&local).into_iter().map(str::to_owned));
                locals.extend(local);
            }
        }
        locals.reverse();
        locals.extend(body);
        locals
    }
}

/// Type of a value in the text.
fn c_type(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::Int | Type::Variant => "int",
        Type::Float => "float",
        Type::Triple => "GridPoint",
    }
}

/// How the functions of a token rule are called.
pub(super) struct Spelling {
    pub(super) function: &'static str,
    /// Its type.
    pub(super) kind: &'static str,
    pub(super) comment: &'static str,
    /// Struct of what is kept for a row.
    pub(super) row: &'static str,
    /// Parameter for it.
    pub(super) row_parameter: &'static str,
}

/// A token rule as functions.
pub(super) struct TokenFunctions {
    pub(super) text: String,
    /// A call for a token pair.
    pub(super) call: Cuda,
    /// A call that computes what is kept for a row; None: nothing is.
    pub(super) row_call: Option<Cuda>,
    pub(super) reads_q: bool,
    pub(super) reads_kv: bool,
}

/// Lowers a token rule; `words` are the names that it may use.
pub(super) fn token_rule(lowering: &Lowering, value: &Expr, spelling: &Spelling, words: &[Word]) -> TokenFunctions {
    let mut kept: Vec<Named> = Vec::new();
    value.walk_pair(&mut |e| match &e.kind {
        ExprKind::Let(named) if named.is_of_row() && kept.iter().all(|known| known.id != named.id) => {
            kept.push(named.clone());
        }
        _ => {}
    });
    kept.sort_by_key(|named| named.id);
    let mut text = String::new();
    let row_call = (!kept.is_empty()).then(|| {
        let body = lowering.with_lets(vec![Statement::Return(Cuda::Braces(
            spelling.row,
            kept.iter().map(|named| lowering.named(named)).collect(),
        ))]);
        let function = format!("{}_row", spelling.function);
        let (parameters, _) = signature(&body, words);
        let of = kept.iter().map(|named| &lowering.strategy.lets[named.id.0]);
        let members: String = of.map(|of| format!("    {} {};\n", c_type(of.value.ty), of.name)).collect();
        text.push_str(&format!(
            "// What the {} asks of a query token: once for all pairs of its row.\nstruct {} {{\n{members}}};\n\n",
            spelling.function, spelling.row
        ));
        text.push_str(&define("", &format!("{} {function}", spelling.row), &parameters, &body));
        text.push('\n');
        call_of(&function, &body, words)
    });
    let pair = Lowering { rows: RowValues::Kept, ..*lowering };
    let body = pair.with_lets(vec![Statement::Return(pair.expr(value))]);
    let row = Word::new("row", spelling.row_parameter);
    let words: Vec<Word> = words.iter().cloned().chain([row]).collect();
    let (parameters, _) = signature(&body, &words);
    let head = format!("{} {}", spelling.kind, spelling.function);
    text.push_str(&define(spelling.comment, &head, &parameters, &body));
    let free = free_names(&body);
    let [reads_q, reads_kv] = [Side::Q, Side::Kv].map(|side| free.contains(side.name()));
    TokenFunctions { text, call: call_of(spelling.function, &body, &words), row_call, reads_q, reads_kv }
}
