//! Calls of ordinary functions.

use sparsym_ir::expr::{Coordinate, Expr, ExprKind, Function, Type};
use sparsym_ir::{Code, Span};

use super::expr::{Resolver, article, is_number, to_float};
use crate::syntax::ast::{self, Name};
use crate::syntax::words::{closest, functions};

impl Resolver<'_> {
    pub(super) fn call(&mut self, name: &Name, args: &[ast::Expr], span: Span) -> Option<Expr> {
        if let Some(special) = self.special(name, args, span) {
            return special;
        }
        if let Some(named) = self.named_at(name, args, span) {
            return named;
        }
        let function = Function::ALL.into_iter().find(|function| function.name() == name.text);
        if function.is_none() && name.text != "float" {
            return self.unknown(name, args);
        }
        let values: Vec<Option<Expr>> = args.iter().map(|arg| self.expr(arg)).collect();
        if name.text == "float" {
            self.arity("float", 1, args.len(), span)?;
            let value = values.into_iter().next()??;
            return match value.ty {
                Type::Int => Some(Expr { span, ..to_float(value) }),
                Type::Float => Some(value),
                ty => self.mismatch(value.span, "a number", ty, "`float` makes a float of an integer"),
            };
        }
        let function = function?;
        self.arity(function.name(), arity(function), args.len(), span)?;
        let values = values.into_iter().collect::<Option<Vec<Expr>>>()?;
        let (args, ty) = self.arguments(function, values)?;
        Some(Expr { kind: ExprKind::Call(function, args), ty, span })
    }

    /// A call of what is no function. Mistakes in its arguments are told too, but not that a variable is no value: it may have
    /// been meant for the name of one over tokens.
    fn unknown(&mut self, name: &Name, args: &[ast::Expr]) -> Option<Expr> {
        for arg in args {
            if self.variable(arg).is_none() {
                drop(self.expr(arg));
            }
        }
        let mut known: Vec<&str> = functions().collect();
        known.extend(self.names_over_tokens());
        let help = match closest(&name.text, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("functions are {}", functions().collect::<Vec<_>>().join(", ")),
        };
        self.wrong(Code::UndefinedName, name.span, format!("no function `{}`", name.text), help)
    }

    /// The arguments after conversion, and the type of the result.
    fn arguments(&mut self, function: Function, mut args: Vec<Expr>) -> Option<(Vec<Expr>, Type)> {
        let help = format!("see `{}` in docs/language.md", function.name());
        let expected = match function {
            Function::Abs | Function::Min | Function::Max | Function::Clamp => {
                if args.iter().any(|arg| arg.ty == Type::Float) {
                    args = args.into_iter().map(|arg| if arg.ty == Type::Int { to_float(arg) } else { arg }).collect();
                }
                if let Some(arg) = args.iter().find(|arg| !is_number(arg.ty)) {
                    return self.mismatch(arg.span, "a number", arg.ty, &help);
                }
                args[0].ty
            }
            Function::BitLength => Type::Int,
            Function::Near => Type::Triple,
            _ => {
                args = args.into_iter().map(|arg| if arg.ty == Type::Int { to_float(arg) } else { arg }).collect();
                Type::Float
            }
        };
        if let Some(arg) = args.iter().find(|arg| arg.ty != expected) {
            return self.mismatch(arg.span, &article(expected), arg.ty, &help);
        }
        let tile = |arg: &Expr| matches!(arg.value().kind, ExprKind::Coordinate(_, Coordinate::Tile));
        if function == Function::Near
            && let Some(arg) = args[..2].iter().find(|arg| !tile(arg))
        {
            let help = "write `near(q.tile, kv.tile, window)`";
            let message = "`near` compares the tiles of two variables";
            return self.wrong(Code::TypeMismatch, arg.span, message.to_owned(), help.to_owned());
        }
        let result = match function {
            Function::Near => Type::Bool,
            Function::Floor | Function::Ceil => Type::Int,
            _ => expected,
        };
        Some((args, result))
    }

    pub(super) fn arity(&mut self, name: &str, expected: usize, found: usize, span: Span) -> Option<()> {
        if expected == found {
            return Some(());
        }
        let plural = if expected == 1 { "" } else { "s" };
        let message = format!("`{name}` takes {expected} argument{plural}, found {found}");
        self.wrong(Code::ArgumentCount, span, message, format!("write {}", form(name)))
    }
}

fn arity(function: Function) -> usize {
    match function {
        Function::Min | Function::Max => 2,
        Function::Clamp | Function::Near => 3,
        _ => 1,
    }
}

fn form(name: &str) -> String {
    match name {
        "min" | "max" => format!("`{name}(a, b)`"),
        "clamp" => "`clamp(x, low, high)`".to_owned(),
        "near" => "`near(q.tile, kv.tile, window)`".to_owned(),
        _ => format!("`{name}(x)`"),
    }
}
