//! Expressions: names, types, conversions.

use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Global, Side, Type, UnaryOp};
use sparsym_ir::strategy::{Element, Grid, MapAxis, Strategy};
use sparsym_ir::{Code, Finding, Findings, Span};

use super::rule::range_id;
use super::scope::{MOST_OPERANDS, Scope, Symbol, Wanted, describe};
use super::variables::{Variables, blocks_of};
use crate::syntax::ast::{self, LiteralKind, Name};
use crate::syntax::words::{GLOBALS, TENSORS, closest};

/// Operands that an expression may have after its `let` names are replaced.
pub(super) const MAX_NODES: usize = 4096;
/// Levels that it may have then.
const MAX_DEPTH: usize = crate::syntax::MAX_DEPTH;

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Let,
    /// A value over tokens.
    TokenLet,
    Mask,
    Score,
    Block,
    Update,
    Dense,
    Degrade,
    Order,
}

impl Setting {
    /// The clause in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Setting::Let => "`let`",
            Setting::TokenLet => "a `let` over tokens",
            Setting::Mask => "`mask`",
            Setting::Score => "`score`",
            Setting::Block => "a block rule",
            Setting::Update => "`update when`",
            Setting::Dense => "`dense when`",
            Setting::Degrade => "`degrade when`",
            Setting::Order => "a forecast order",
        }
    }
}

/// What variables stand for, and whether tensor data can be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// No tensor data: token rules, the schedule, values without variables.
    Plain,
    /// A map without written variables.
    PointFree,
    /// Blocks.
    Blocks,
    /// Tokens of two blocks: inside `cover`.
    Tokens,
    /// Groups of tokens: inside `blocksum`.
    Groups,
}

/// Resolves one expression.
pub(super) struct Resolver<'a> {
    pub(super) strategy: &'a Strategy,
    pub(super) scope: &'a mut Scope,
    pub(super) findings: &'a mut Findings,
    pub(super) setting: Setting,
    pub(super) grain: Grain,
    pub(super) variables: Variables,
    /// The axis along which order maps count; None where they cannot stand.
    pub(super) line: Option<Side>,
    /// What a map without written variables is over, as far as it has been read.
    pub(super) axes: Option<Vec<MapAxis>>,
    /// Functions around the present place that run over blocks or heads, and how many of them are softmaxes.
    pub(super) binders: usize,
    pub(super) softmaxes: usize,
    /// Strides of the antidiagonals in the present `blocksum`.
    pub(super) strides: Vec<Expr>,
    /// Whether it was said already that there is no tensor data here.
    pub(super) misplaced: bool,
    pub(super) nodes: usize,
}

impl<'a> Resolver<'a> {
    /// For an expression that reads no tensor data.
    pub(super) fn new(
        strategy: &'a Strategy,
        scope: &'a mut Scope,
        findings: &'a mut Findings,
        setting: Setting,
        variables: Variables,
    ) -> Resolver<'a> {
        Resolver {
            strategy,
            scope,
            findings,
            setting,
            grain: Grain::Plain,
            variables,
            line: None,
            axes: None,
            binders: 0,
            softmaxes: 0,
            strides: Vec::new(),
            misplaced: false,
            nodes: 0,
        }
    }

    /// An expression of any type.
    pub(super) fn any(&mut self, value: &ast::Expr) -> Option<Expr> {
        let value = self.expr(value)?;
        if depth(&value) > MAX_DEPTH {
            return self.too_large(value.span);
        }
        if !self.scope.spend(self.nodes) {
            let message = "the expressions of the strategy have too many operands".to_owned();
            let help = format!("at most {MOST_OPERANDS} in all, `let` names replaced: use a table, an input or a map");
            return self.wrong(Code::TooLarge, value.span, message, help);
        }
        self.check_place(&value).then_some(value)
    }

    /// An expression of this type; an integer becomes a float where one is wanted.
    pub(super) fn typed(&mut self, value: &ast::Expr, ty: Type, why: &str) -> Option<Expr> {
        let value = self.any(value)?;
        self.convert(value, ty, why)
    }

    /// A part of an expression, of this type.
    pub(super) fn part(&mut self, value: &ast::Expr, ty: Type, why: &str) -> Option<Expr> {
        let value = self.expr(value)?;
        self.convert(value, ty, why)
    }

    fn convert(&mut self, value: Expr, ty: Type, why: &str) -> Option<Expr> {
        if ty == Type::Float && value.ty == Type::Int {
            return Some(to_float(value));
        }
        if value.ty != ty {
            return self.mismatch(value.span, &article(ty), value.ty, why);
        }
        Some(value)
    }

    pub(super) fn expr(&mut self, value: &ast::Expr) -> Option<Expr> {
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
            ast::ExprKind::Index(base, variables) => self.index(base, variables)?,
            ast::ExprKind::Dot(left, right) => self.dot(left, right, span)?,
            ast::ExprKind::Binder(binder) => return self.binder(binder, span),
            ast::ExprKind::Order(order) => return self.lone_order(order),
            ast::ExprKind::Percentile(percentile) => self.percentile(percentile)?,
            ast::ExprKind::Cover(cover) => self.cover(cover)?,
            ast::ExprKind::AtLeast(comparison, least) => return self.at_least(comparison, least, span),
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
                if let Some(compared) = self.variants(*op, left, right) {
                    compared?
                } else if let Some(compared) = self.ordered(*op, left, right) {
                    compared?
                } else {
                    let (left, right) = (self.expr(left), self.expr(right));
                    self.binary(*op, left?, right?)?
                }
            }
        };
        Some(Expr { kind, ty, span })
    }

    pub(super) fn binary(&mut self, op: BinaryOp, left: Expr, right: Expr) -> Option<(ExprKind, Type)> {
        use BinaryOp::*;
        let (left, right) = match op {
            Div if is_share(&left, &right) => (to_float(left), to_float(right)),
            _ => unify(left, right),
        };
        let symbol = op.symbol();
        let (fits, result, help): (fn(Type) -> bool, _, _) = match op {
            And | Or => (|ty| ty == Type::Bool, Type::Bool, "both sides are conditions"),
            Rem => (|ty| ty == Type::Int, Type::Int, "`%` divides integers; `floor` makes an integer of a float"),
            Add | Sub | Mul | Div => (is_number, left.ty, "both sides are numbers"),
            Lt | Le | Gt | Ge => (is_number, Type::Bool, "both sides are numbers"),
            Eq | Ne => (
                |ty| !matches!(ty, Type::Triple | Type::Variant),
                Type::Bool,
                "triples are compared by `near`, entries of a table with their names",
            ),
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
        if self.variables.is_logit(&name.text) {
            return Some(Expr { kind: ExprKind::Logit, ty: Type::Float, span });
        }
        if self.variables.side(&name.text).is_some() {
            let help = format!("read a coordinate, for instance `{}.pos`, or ask `{} in range`", name.text, name.text);
            return self.wrong(Code::TypeMismatch, span, format!("`{}` is a variable, not a value", name.text), help);
        }
        if let Some(global) = GLOBALS.into_iter().find(|global| global.name() == name.text) {
            return Some(Expr { kind: ExprKind::Global(global), ty: Type::Int, span });
        }
        if TENSORS.contains(&name.text.as_str()) {
            return self.tensor(name);
        }
        if ["q", "kv", "s"].contains(&name.text.as_str()) && self.scope.place(&name.text).is_none() {
            let message = format!("`{}` is not a variable here", name.text);
            return self.wrong(Code::WrongPlace, span, message, self.variables.in_words());
        }
        let (kind, ty) = match self.read(name, Wanted::Value)? {
            Symbol::Param(id) => (ExprKind::Param(id), self.strategy.params[id.0].scalar.ty()),
            Symbol::Table(id) => {
                let table = &self.strategy.tables[id.0];
                let ty = match table.element {
                    _ if !table.variants.is_empty() => Type::Variant,
                    Element::One(scalar) => scalar.ty(),
                    Element::Three(_) => Type::Triple,
                };
                (ExprKind::Table(id), ty)
            }
            Symbol::Map(id) => return self.whole_map(id, name),
            Symbol::Let(id, operands) => return self.named(id, operands, name),
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
        const COORDINATES: [(&str, Coordinate); 9] = [
            ("pos", Coordinate::Pos),
            ("block", Coordinate::Block),
            ("t", Coordinate::T),
            ("frame", Coordinate::T),
            ("h", Coordinate::H),
            ("w", Coordinate::W),
            ("cell", Coordinate::Cell),
            ("tile", Coordinate::Tile),
            ("len", Coordinate::Len),
        ];
        let ast::ExprKind::Name(text) = &base.kind else {
            let message = format!("`.{}` stands after a variable only", field.text);
            return self.wrong(Code::UndefinedName, field.span, message, self.variables.in_words());
        };
        let side = self.side(&Name { text: text.clone(), span: base.span })?;
        let Some((_, coordinate)) = COORDINATES.into_iter().find(|(name, _)| *name == field.text) else {
            let here = COORDINATES.into_iter().filter(|(_, coordinate)| self.has(*coordinate)).map(|(name, _)| name);
            let help = match closest(&field.text, here.clone()) {
                Some(meant) => format!("did you mean `.{meant}`?"),
                None => {
                    let names: Vec<String> = here.map(|name| format!(".{name}")).collect();
                    format!("coordinates here are {}", names.join(" "))
                }
            };
            return self.wrong(Code::UndefinedName, field.span, format!("no coordinate `.{}`", field.text), help);
        };
        let ty = if coordinate == Coordinate::Tile { Type::Triple } else { Type::Int };
        Some((ExprKind::Coordinate(side, coordinate), ty))
    }

    /// Whether the variables here have this coordinate.
    fn has(&self, coordinate: Coordinate) -> bool {
        let grids = self.strategy.tokens.iter().filter_map(|range| range.grid);
        let (tokens, blocks) = match (self.grain, self.setting) {
            (Grain::Groups, _) => return coordinate == Coordinate::Block,
            (Grain::Tokens, _) | (Grain::Plain, Setting::Mask | Setting::Score | Setting::TokenLet) => (true, false),
            (Grain::Blocks | Grain::PointFree, _) => (false, true),
            (Grain::Plain, _) => (true, true),
        };
        match coordinate {
            Coordinate::Pos => tokens,
            Coordinate::T | Coordinate::H | Coordinate::W | Coordinate::Cell => tokens && grids.count() > 0,
            Coordinate::Block | Coordinate::Len => blocks,
            Coordinate::Tile => grids.into_iter().any(|grid| matches!(grid, Grid::Tiled(_))),
        }
    }

    /// `document[q]`, `s[q, kv]`, `selfsim(Q)[q]`
    fn index(&mut self, base: &ast::Expr, variables: &[Name]) -> Option<(ExprKind, Type)> {
        let name = match &base.kind {
            ast::ExprKind::Name(text) => Name { text: text.clone(), span: base.span },
            ast::ExprKind::Call(function, args) if function.text == "selfsim" => {
                return self.selfsim_at(args, base.span, variables);
            }
            _ => {
                let help = "give the value a name: `let name[q, kv] = …;`".to_owned();
                return self.wrong(Code::TypeMismatch, base.span, "only inputs and maps are indexed".to_owned(), help);
            }
        };
        match self.read(&name, Wanted::Indexed)? {
            Symbol::Input(id) => {
                let [variable] = variables else {
                    let message = format!("an input is read at one token, found {}", variables.len());
                    let help = format!("write `{}[q]`", name.text);
                    return self.wrong(Code::ArgumentCount, name.span, message, help);
                };
                Some((ExprKind::Input(id, self.side(variable)?), self.strategy.inputs[id.0].scalar.ty()))
            }
            Symbol::Map(id) => self.map_at(id, &name, variables),
            Symbol::Poisoned => None,
            other => {
                let help = match other {
                    Symbol::Table(_) => format!("write `{}`: a table is read at this step, layer and head", name.text),
                    Symbol::Let(..) => format!("a value over tokens is read with round brackets: `{}(q)`", name.text),
                    _ => "inputs are declared by `input name: [token] of i32;`, maps by `let name = …;`".to_owned(),
                };
                let message = format!("`{}` is {}, not an input or a map", name.text, describe(&other));
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

    /// The side that a variable stands for.
    pub(super) fn side(&mut self, variable: &Name) -> Option<Side> {
        if let Some(side) = self.variables.side(&variable.text) {
            return Some(side);
        }
        if let Some((side, inner)) = self.variables.hidden(&variable.text) {
            let message =
                format!("`{}` and `{inner}` are two variables over {}", variable.text, blocks_of(side.into()));
            let help = format!("inside, `{inner}` takes the place of `{}`: give the inner value a map", variable.text);
            return self.wrong(Code::TwoVariables, variable.span, message, help);
        }
        if self.scope.is_poisoned(&variable.text) {
            return None;
        }
        let code = if self.variables.any() { Code::UndefinedName } else { Code::WrongPlace };
        let message = format!("`{}` is not a variable here", variable.text);
        let help = match self.grain {
            Grain::PointFree => format!("name the variables of the map: `let name[{}] = …;`", self.wanted(variable)),
            _ => self.variables.in_words(),
        };
        self.wrong(code, variable.span, message, help)
    }

    /// The variables that a map should have to read this one.
    fn wanted(&self, variable: &Name) -> String {
        match variable.text.as_str() {
            "q" | "kv" => "q, kv".to_owned(),
            other => other.to_owned(),
        }
    }

    pub(super) fn read(&mut self, name: &Name, wanted: Wanted) -> Option<Symbol> {
        let known = |global: &&Global| wanted == Wanted::Value && self.is_known_here(**global);
        let hints = GLOBALS.iter().filter(known).map(|global| global.name());
        let hints: Vec<&str> = hints.chain(self.variables.names()).collect();
        self.scope.read_or(name, wanted, &hints, self.findings)
    }

    pub(super) fn mismatch<T>(&mut self, span: Span, expected: &str, found: Type, help: &str) -> Option<T> {
        let message = format!("expected {expected}, found {}", article(found));
        self.wrong(Code::TypeMismatch, span, message, help.to_owned())
    }

    /// Reported once: the operands after the first that is too many are not looked at.
    pub(super) fn too_large<T>(&mut self, span: Span) -> Option<T> {
        if std::mem::replace(&mut self.nodes, usize::MAX / 2) >= usize::MAX / 2 {
            return None;
        }
        let message = format!("the expression is larger than {MAX_NODES} operands or {MAX_DEPTH} levels");
        self.wrong(Code::TooLarge, span, message, "`let` names count with all that they stand for".to_owned())
    }

    pub(super) fn wrong<T>(&mut self, code: Code, span: Span, message: String, help: String) -> Option<T> {
        self.findings.push(Finding::at(code, span, message, help));
        None
    }
}

pub(super) fn is_number(ty: Type) -> bool {
    matches!(ty, Type::Int | Type::Float)
}

/// `step / steps`: a share of the run, which is a float although both are integers.
fn is_share(left: &Expr, right: &Expr) -> bool {
    left.ty == Type::Int && right.value().kind == ExprKind::Global(Global::Steps)
}

/// An integer that meets a float becomes one.
fn unify(left: Expr, right: Expr) -> (Expr, Expr) {
    match (left.ty, right.ty) {
        (Type::Int, Type::Float) => (to_float(left), right),
        (Type::Float, Type::Int) => (left, to_float(right)),
        _ => (left, right),
    }
}

pub(super) fn to_float(value: Expr) -> Expr {
    let span = value.span;
    let kind = match value.kind {
        ExprKind::Int(literal) => ExprKind::Float(literal as f64),
        _ => ExprKind::Unary(UnaryOp::ToFloat, Box::new(value)),
    };
    Expr { kind, ty: Type::Float, span }
}

pub(super) fn article(ty: Type) -> String {
    let article = if ty == Type::Int { "an" } else { "a" };
    format!("{article} {}", ty.name())
}

pub(super) fn count(value: &Expr) -> usize {
    let mut nodes = 0;
    value.walk(&mut |_| nodes += 1);
    nodes
}

fn depth(value: &Expr) -> usize {
    let own = usize::from(!matches!(value.kind, ExprKind::Let(_)));
    own + value.children().into_iter().map(depth).max().unwrap_or(0)
}
