//! Expressions: names, types, conversions.

use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Global, Side, Type, UnaryOp};
use sparsym_ir::strategy::{Element, Strategy, TableAxis};
use sparsym_ir::{Code, Finding, Findings, Span};

use super::rule::range_id;
use super::scope::{Scope, Symbol, describe};
use crate::syntax::ast::{self, LiteralKind, Name};
use crate::syntax::words::{GLOBALS, closest};

/// Operands that an expression may have after its `let` names are replaced.
const MAX_NODES: usize = 4096;
/// Levels that it may have then.
const MAX_DEPTH: usize = crate::syntax::MAX_DEPTH;

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Let,
    Mask,
    Score,
    Block,
    Update,
    Dense,
    Order,
}

/// Resolves one expression.
pub(super) struct Resolver<'a> {
    strategy: &'a Strategy,
    scope: &'a mut Scope,
    findings: &'a mut Findings,
    setting: Setting,
    /// The variables of the rule: logit, query, kv.
    variables: [Option<&'a Name>; 3],
    nodes: usize,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        strategy: &'a Strategy,
        scope: &'a mut Scope,
        findings: &'a mut Findings,
        setting: Setting,
        variables: [Option<&'a Name>; 3],
    ) -> Resolver<'a> {
        Resolver { strategy, scope, findings, setting, variables, nodes: 0 }
    }

    /// An expression of any type.
    pub(super) fn any(&mut self, value: &ast::Expr) -> Option<Expr> {
        let value = self.expr(value)?;
        if depth(&value) > MAX_DEPTH {
            return self.too_large(value.span);
        }
        self.check_place(&value).then_some(value)
    }

    /// An expression of this type; an integer becomes a float where one is wanted.
    pub(super) fn typed(&mut self, value: &ast::Expr, ty: Type, why: &str) -> Option<Expr> {
        let value = self.any(value)?;
        if ty == Type::Float && value.ty == Type::Int {
            return Some(to_float(value));
        }
        if value.ty != ty {
            return self.mismatch(value.span, &article(ty), value.ty, why);
        }
        Some(value)
    }

    fn expr(&mut self, value: &ast::Expr) -> Option<Expr> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.too_large(value.span);
        }
        let span = value.span;
        let (kind, ty) = match &value.kind {
            ast::ExprKind::Literal(LiteralKind::Bool(value)) => (ExprKind::Bool(*value), Type::Bool),
            ast::ExprKind::Literal(LiteralKind::Int(value)) => (ExprKind::Int(*value), Type::Int),
            ast::ExprKind::Literal(LiteralKind::Float(value)) => (ExprKind::Float(*value), Type::Float),
            ast::ExprKind::Name(text) => return self.name(&Name { text: text.clone(), span }),
            ast::ExprKind::Field(base, field) => self.coordinate(base, field)?,
            ast::ExprKind::In(variable, range) => {
                let side = self.side(variable);
                let range = range_id(range, self.strategy, self.scope, self.findings);
                (ExprKind::InRange(side?, range?), Type::Bool)
            }
            ast::ExprKind::Index(name, variable) => self.input(name, variable)?,
            ast::ExprKind::Call(name, args) => return self.call(name, args, span),
            ast::ExprKind::Tuple(parts) => self.triple(parts, span)?,
            ast::ExprKind::Unary(op, operand) => {
                let operand = self.expr(operand)?;
                let fits = match op {
                    UnaryOp::Not => operand.ty == Type::Bool,
                    _ => matches!(operand.ty, Type::Int | Type::Float),
                };
                if !fits {
                    let (expected, help) = match op {
                        UnaryOp::Not => ("a bool", "`!` turns true into false"),
                        _ => ("a number", "`-` changes the sign of a number"),
                    };
                    return self.mismatch(operand.span, expected, operand.ty, help);
                }
                let ty = operand.ty;
                (ExprKind::Unary(*op, Box::new(operand)), ty)
            }
            ast::ExprKind::Binary(op, left, right) => {
                let (left, right) = (self.expr(left), self.expr(right));
                self.binary(*op, left?, right?)?
            }
        };
        Some(Expr { kind, ty, span })
    }

    fn binary(&mut self, op: BinaryOp, left: Expr, right: Expr) -> Option<(ExprKind, Type)> {
        use BinaryOp::*;
        let (left, right) = unify(left, right);
        let symbol = op.symbol();
        let (fits, result, help): (fn(Type) -> bool, _, _) = match op {
            And | Or => (|ty| ty == Type::Bool, Type::Bool, "both sides are conditions"),
            Rem => (|ty| ty == Type::Int, Type::Int, "`%` divides integers; `floor` makes an integer of a float"),
            Add | Sub | Mul | Div => (is_number, left.ty, "both sides are numbers"),
            Lt | Le | Gt | Ge => (is_number, Type::Bool, "both sides are numbers"),
            Eq | Ne => (|ty| ty != Type::Triple, Type::Bool, "triples are compared by `near`"),
        };
        for side in [&left, &right] {
            if !fits(side.ty) {
                let expected = match op {
                    And | Or => "a bool",
                    Rem => "an integer",
                    _ => "a number",
                };
                return self.mismatch(side.span, expected, side.ty, help);
            }
        }
        if left.ty != right.ty {
            let help = format!("both sides of `{symbol}` have one type");
            return self.mismatch(right.span, &article(left.ty), right.ty, &help);
        }
        Some((ExprKind::Binary(op, Box::new(left), Box::new(right)), result))
    }

    fn name(&mut self, name: &Name) -> Option<Expr> {
        let span = name.span;
        if let Some(position) = self.variables.iter().position(|v| v.is_some_and(|v| v.text == name.text)) {
            if position == 0 {
                return Some(Expr { kind: ExprKind::Logit, ty: Type::Float, span });
            }
            let help = format!("read a coordinate, for instance `{}.pos`, or ask `{} in range`", name.text, name.text);
            return self.wrong(Code::TypeMismatch, span, format!("`{}` is a variable, not a value", name.text), help);
        }
        if let Some(global) = GLOBALS.into_iter().find(|global| global.name() == name.text) {
            return Some(Expr { kind: ExprKind::Global(global), ty: Type::Int, span });
        }
        if ["q", "kv", "s"].contains(&name.text.as_str()) && self.scope.place(&name.text).is_none() {
            let message = format!("`{}` is not a variable here", name.text);
            return self.wrong(Code::WrongPlace, span, message, self.variables_in_words());
        }
        let (kind, ty) = match self.read(name)? {
            Symbol::Param(id) => (ExprKind::Param(id), self.strategy.params[id.0].scalar.ty()),
            Symbol::Table(id) => match self.strategy.tables[id.0].element {
                Element::One(scalar) => (ExprKind::Table(id), scalar.ty()),
                Element::Three(_) => (ExprKind::Table(id), Type::Triple),
            },
            Symbol::Let(value) => {
                self.nodes += count(&value);
                if self.nodes > MAX_NODES {
                    return self.too_large(span);
                }
                return Some(*value);
            }
            Symbol::Poisoned => return None,
            other @ (Symbol::Input(_) | Symbol::Range(_)) => {
                let help = match other {
                    Symbol::Input(_) => format!("read it at a token: `{}[q]`", name.text),
                    _ => format!("ask `q in {}`", name.text),
                };
                let message = format!("`{}` is {}, not a value", name.text, describe(&other));
                return self.wrong(Code::TypeMismatch, span, message, help);
            }
        };
        Some(Expr { kind, ty, span })
    }

    fn coordinate(&mut self, base: &ast::Expr, field: &Name) -> Option<(ExprKind, Type)> {
        const COORDINATES: [(&str, Coordinate); 7] = [
            ("pos", Coordinate::Pos),
            ("block", Coordinate::Block),
            ("t", Coordinate::T),
            ("frame", Coordinate::T),
            ("h", Coordinate::H),
            ("w", Coordinate::W),
            ("tile", Coordinate::Tile),
        ];
        let ast::ExprKind::Name(text) = &base.kind else {
            let message = format!("`.{}` stands after a variable only", field.text);
            return self.wrong(Code::UndefinedName, field.span, message, self.variables_in_words());
        };
        let side = self.side(&Name { text: text.clone(), span: base.span })?;
        let Some((_, coordinate)) = COORDINATES.into_iter().find(|(name, _)| *name == field.text) else {
            let help = match closest(&field.text, COORDINATES.map(|(name, _)| name)) {
                Some(meant) => format!("did you mean `.{meant}`?"),
                None => "coordinates are .pos .block .t .h .w .frame .tile".to_owned(),
            };
            return self.wrong(Code::UndefinedName, field.span, format!("no coordinate `.{}`", field.text), help);
        };
        let ty = if coordinate == Coordinate::Tile { Type::Triple } else { Type::Int };
        Some((ExprKind::Coordinate(side, coordinate), ty))
    }

    fn input(&mut self, name: &Name, variable: &Name) -> Option<(ExprKind, Type)> {
        let side = self.side(variable);
        match self.read(name)? {
            Symbol::Input(id) => Some((ExprKind::Input(id, side?), self.strategy.inputs[id.0].scalar.ty())),
            Symbol::Poisoned => None,
            other => {
                let help = match other {
                    Symbol::Table(_) => format!("write `{}`: a table is read at this step, layer and head", name.text),
                    _ => "inputs are declared by `input name: [token] of i32;`".to_owned(),
                };
                let message = format!("`{}` is {}, not an input", name.text, describe(&other));
                self.wrong(Code::TypeMismatch, name.span, message, help)
            }
        }
    }

    fn triple(&mut self, parts: &[ast::Expr], span: Span) -> Option<(ExprKind, Type)> {
        let values: Vec<Option<Expr>> = parts.iter().map(|part| self.expr(part)).collect();
        let mut values = values.into_iter().collect::<Option<Vec<Expr>>>()?.into_iter();
        let (Some(a), Some(b), Some(c), None) = (values.next(), values.next(), values.next(), values.next()) else {
            let message = format!("a tuple has three values (t, h, w), found {}", parts.len());
            return self.wrong(Code::ArgumentCount, span, message, "write `(1, 3, 3)`".to_owned());
        };
        for part in [&a, &b, &c] {
            if part.ty != Type::Int {
                return self.mismatch(part.span, "an integer", part.ty, "a triple counts tiles along t, h, w");
            }
        }
        Some((ExprKind::Triple(Box::new([a, b, c])), Type::Triple))
    }

    fn call(&mut self, name: &Name, args: &[ast::Expr], span: Span) -> Option<Expr> {
        let function = Function::ALL.into_iter().find(|function| function.name() == name.text);
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
        let Some(function) = function else {
            if self.scope.is_poisoned(&name.text) {
                return None;
            }
            let names = Function::ALL.iter().map(|function| function.name()).chain(["float"]);
            let help = match closest(&name.text, names.clone()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("functions are {}", names.collect::<Vec<_>>().join(", ")),
            };
            return self.wrong(Code::UndefinedName, name.span, format!("no function `{}`", name.text), help);
        };
        self.arity(function.name(), arity(function), args.len(), span)?;
        let values = values.into_iter().collect::<Option<Vec<Expr>>>()?;
        let (args, ty) = self.arguments(function, values)?;
        Some(Expr { kind: ExprKind::Call(function, args), ty, span })
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
        let tile = |arg: &Expr| matches!(arg.kind, ExprKind::Coordinate(_, Coordinate::Tile));
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

    /// The side that a variable stands for.
    fn side(&mut self, variable: &Name) -> Option<Side> {
        let is = |position: usize| self.variables[position].is_some_and(|v| v.text == variable.text);
        match () {
            () if is(1) => Some(Side::Q),
            () if is(2) => Some(Side::Kv),
            () if self.scope.is_poisoned(&variable.text) => None,
            () => {
                let code = if self.variables[1].is_some() { Code::UndefinedName } else { Code::WrongPlace };
                let message = format!("`{}` is not a variable here", variable.text);
                self.wrong(code, variable.span, message, self.variables_in_words())
            }
        }
    }

    fn variables_in_words(&self) -> String {
        let names: Vec<String> = self.variables[1..].iter().flatten().map(|v| format!("`{}`", v.text)).collect();
        match names.is_empty() {
            true => "only rules have variables for tokens and blocks".to_owned(),
            false => format!("the variables of this rule are {}", names.join(" and ")),
        }
    }

    /// Whether all values are known where the expression stands.
    fn check_place(&mut self, value: &Expr) -> bool {
        let mut wrong = None;
        value.walk(&mut |e| wrong = wrong.or(wrong_place(self.setting, e, self.strategy).map(|what| (e.span, what))));
        let Some((span, what)) = wrong else { return true };
        let (place, help) = match self.setting {
            Setting::Update => ("`update when`", "an update concerns all layers, heads and batch items of a step"),
            Setting::Dense => ("`dense when`", "a dense step concerns all heads and batch items of a layer"),
            _ => ("a forecast order", "take the order from a literal or a param"),
        };
        self.wrong::<()>(Code::WrongPlace, span, format!("{what} is not known in {place}"), help.to_owned());
        false
    }

    fn read(&mut self, name: &Name) -> Option<Symbol> {
        let variables = self.variables.iter().flatten().map(|v| v.text.as_str());
        let hints: Vec<&str> = GLOBALS.iter().map(|global| global.name()).chain(variables).collect();
        self.scope.read_or(name, &hints, self.findings)
    }

    fn arity(&mut self, name: &str, expected: usize, found: usize, span: Span) -> Option<()> {
        if expected == found {
            return Some(());
        }
        let plural = if expected == 1 { "" } else { "s" };
        let message = format!("`{name}` takes {expected} argument{plural}, found {found}");
        self.wrong(Code::ArgumentCount, span, message, format!("write {}", form(name)))
    }

    fn mismatch<T>(&mut self, span: Span, expected: &str, found: Type, help: &str) -> Option<T> {
        let message = format!("expected {expected}, found {}", article(found));
        self.wrong(Code::TypeMismatch, span, message, help.to_owned())
    }

    /// Reported once: the operands after the first that is too many are not looked at.
    fn too_large<T>(&mut self, span: Span) -> Option<T> {
        if std::mem::replace(&mut self.nodes, usize::MAX / 2) >= usize::MAX / 2 {
            return None;
        }
        let message = format!("the expression is larger than {MAX_NODES} operands or {MAX_DEPTH} levels");
        self.wrong(Code::TooLarge, span, message, "`let` names count with all that they stand for".to_owned())
    }

    fn wrong<T>(&mut self, code: Code, span: Span, message: String, help: String) -> Option<T> {
        self.findings.push(Finding::at(code, span, message, help));
        None
    }
}

/// What makes a value unknown in the schedule or in a forecast order.
fn wrong_place(setting: Setting, value: &Expr, strategy: &Strategy) -> Option<&'static str> {
    let (heads, layers, steps) = match setting {
        Setting::Let | Setting::Mask | Setting::Score | Setting::Block => return None,
        Setting::Update => (true, true, false),
        Setting::Dense => (true, false, false),
        Setting::Order => (true, true, true),
    };
    let axis = |axis| match &value.kind {
        ExprKind::Table(id) => strategy.tables[id.0].axes.contains(&axis),
        _ => false,
    };
    let global = |global| value.kind == ExprKind::Global(global);
    match () {
        () if heads && global(Global::Batch) => Some("the batch item"),
        () if heads && (global(Global::Head) || axis(TableAxis::Head)) => Some("the head"),
        () if layers && (global(Global::Layer) || axis(TableAxis::Layer)) => Some("the layer"),
        () if steps && matches!(value.kind, ExprKind::Global(_) | ExprKind::Table(_)) => Some("a value that changes"),
        () => None,
    }
}

fn is_number(ty: Type) -> bool {
    matches!(ty, Type::Int | Type::Float)
}

/// An integer that meets a float becomes one.
fn unify(left: Expr, right: Expr) -> (Expr, Expr) {
    match (left.ty, right.ty) {
        (Type::Int, Type::Float) => (to_float(left), right),
        (Type::Float, Type::Int) => (left, to_float(right)),
        _ => (left, right),
    }
}

fn to_float(value: Expr) -> Expr {
    let span = value.span;
    let kind = match value.kind {
        ExprKind::Int(literal) => ExprKind::Float(literal as f64),
        _ => ExprKind::Unary(UnaryOp::ToFloat, Box::new(value)),
    };
    Expr { kind, ty: Type::Float, span }
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

fn article(ty: Type) -> String {
    let article = if ty == Type::Int { "an" } else { "a" };
    format!("{article} {}", ty.name())
}

fn count(value: &Expr) -> usize {
    let mut nodes = 0;
    value.walk(&mut |_| nodes += 1);
    nodes
}

fn depth(value: &Expr) -> usize {
    1 + value.children().into_iter().map(depth).max().unwrap_or(0)
}
