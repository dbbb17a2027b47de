//! Rules of the IR as CUDA: expressions and token rules here, block rules and the classification of masks below.

mod affine;
mod builder;
mod cells;
mod cover;
mod cuts;
mod data;
mod formula;
mod interval;
mod symbols;
mod text;

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Function, Global, Side, Type, UnaryOp};
use sparsym_ir::strategy::{Element, Scalar, Strategy, TableAxis, TokenRule, Value};

use serde::Serialize;

pub(crate) use builder::Step;
pub use data::reads_means_alone;
pub(crate) use symbols::SymbolRules;

use builder::Builder;
use text::{define, joined, names, signature, wrapped};

use crate::kernel::{Launch, last_launch};
use crate::params::{Buffer, param_field, range_field};
use crate::plan::{Plan, Request, Room};
use crate::projection;

/// A strategy's rules as CUDA functions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Rules {
    /// Definitions for all launches; empty when there are none.
    pub shared_functions: String,
    /// Definitions for the last launch; empty when there are none.
    pub functions: String,
    /// Arguments of a call of `mask`.
    pub mask_arguments: String,
    /// Arguments of a call of `score`.
    pub score_arguments: String,
    /// Whether `mask` reads the query token.
    pub mask_reads_q: bool,
    /// Whether `mask` reads the kv token.
    pub mask_reads_kv: bool,
    /// Whether `mask` divides by what only a call knows, as coordinates of a grid are made.
    pub mask_divides: bool,
    /// Whether `score` reads the query token.
    pub score_reads_q: bool,
    /// Whether `score` reads the kv token.
    pub score_reads_kv: bool,
    /// The mask's expression, for the header.
    pub mask_words: String,
    /// The score's expression, for the header.
    pub score_words: String,
    /// What the symbols room puts where.
    pub symbols: SymbolRules,
    /// Whether passes over tokens sum directions.
    pub sums_directions: bool,
    /// Whether one of them takes the mean of all tokens away.
    pub subtracts_center: bool,
    /// Launches before the last one, and their text.
    #[serde(skip)]
    pub steps: Vec<Step>,
    /// All launches.
    #[serde(skip)]
    pub launches: Vec<Launch>,
    /// Workspaces of order maps.
    #[serde(skip)]
    pub cuts: Vec<Buffer>,
}

/// Lowers what the room needs.
pub(crate) fn rules(request: &Request<'_>, plan: &Plan) -> Rules {
    let mut rules = Rules::default();
    let strategy = request.strategy;
    if plan.room == Room::Symbols {
        symbols_rules(strategy, plan, &mut rules);
        return rules;
    }
    if matches!(plan.room, Room::GemmQ | Room::GemmO) {
        (rules.steps, rules.launches) = projection::launches(plan);
        return rules;
    }
    rules.launches = vec![last_launch(plan, plan.name.clone())];
    let exact = Lowering::new(strategy, Level::Tokens, "tile.h", "tile.b");
    if let Some(TokenRule { value, .. }) = &strategy.mask {
        rules.mask_divides = value.any(divides);
        let body = exact.expr(value);
        rules.mask_words = body.clone();
        let (parameters, arguments) = signature(&body, &TOKEN_WORDS);
        rules.mask_arguments = arguments;
        (rules.mask_reads_q, rules.mask_reads_kv) = (names(&body, "q"), names(&body, "kv"));
        let body = format!("    return {};\n", wrapped(&body));
        rules.functions.push_str(&define("Whether the token pair may attend.", "bool mask", &parameters, &body));
    }
    let fast = Lowering { floats: Floats::Fast, ..exact };
    let score = strategy.score.as_ref().map(|rule| fast.expr(&rule.value));
    // A scale that is not positive turns the running maximum round; as a score it is applied before.
    if let Some(body) = score.or_else(|| plan.score.then(|| "s".to_owned())) {
        rules.score_words = body.clone();
        (rules.score_reads_q, rules.score_reads_kv) = (names(&body, "q"), names(&body, "kv"));
        let (parameters, arguments) = signature(&body, &TOKEN_WORDS);
        rules.score_arguments = joined("s[m][n][e] * p.scale", &arguments);
        if !rules.functions.is_empty() {
            rules.functions.push('\n');
        }
        let comment = "The logit of a token pair, from its scaled product s.";
        let body = format!("    return {};\n", wrapped(&body));
        rules.functions.push_str(&define(comment, "float score", &joined("float s", &parameters), &body));
    }
    rules
}

/// Whether an expression is a division by a number that the text does not hold: a few dozen instructions.
fn divides(expr: &Expr) -> bool {
    use Coordinate::{Cell, H, T, Tile, W};
    match &expr.kind {
        ExprKind::Coordinate(_, T | H | W | Cell | Tile) => true,
        ExprKind::Binary(BinaryOp::Div | BinaryOp::Rem, _, by) => {
            expr.ty == Type::Int && !matches!(by.kind, ExprKind::Int(_))
        }
        _ => false,
    }
}

fn symbols_rules(strategy: &Strategy, plan: &Plan, rules: &mut Rules) {
    let builder = Builder::new(plan);
    let blocks = Lowering { builder: Some(&builder), ..Lowering::new(strategy, Level::Blocks, "h", "b") };
    data::lower(&blocks);
    (rules.functions, rules.symbols) = symbols::lower(&blocks, plan);
    let tokens = Lowering::new(strategy, Level::Tokens, "h", "b");
    rules.mask_words = strategy.mask.iter().map(|mask| tokens.expr(&mask.value)).collect();
    [rules.sums_directions, rules.subtracts_center] = data::passes(strategy);
    rules.steps = builder.steps.take();
    let mut text = format!("{}{:?}", rules.functions, rules.symbols);
    for step in &rules.steps {
        text.push_str(&format!("{}{:?}", step.functions, step.values));
    }
    rules.shared_functions = symbols::range_functions(strategy, &text);
    rules.cuts = builder.cuts.take();
    let last = if rules.steps.is_empty() { plan.name.clone() } else { format!("{}_rules", plan.name) };
    let before = rules.steps.iter().map(|step| step.launch.clone());
    rules.launches = before.chain([last_launch(plan, last)]).collect();
}

/// Names that the body of a token rule may use: word, parameter, argument.
const TOKEN_WORDS: [[&str; 3]; 4] =
    [["p", "const Params& p", "p"], ["tile", "const Tile& tile", "tile"], ["q", "int q", "q"], ["kv", "int kv", "kv"]];

/// How names are spelt where an expression is lowered.
#[derive(Clone, Copy)]
pub(crate) struct Lowering<'a> {
    /// For names of params, tables, inputs and ranges.
    pub strategy: &'a Strategy,
    /// What q and kv stand for.
    pub level: Level,
    /// How floats are rounded.
    pub floats: Floats,
    /// Query head.
    pub head: &'a str,
    /// Batch item.
    pub batch: &'a str,
    /// Row of an input's first token.
    pub input_rows: &'a str,
    /// Takes functions and launches; of rules over blocks only.
    pub builder: Option<&'a Builder<'a>>,
}

/// What the variables of a rule stand for in its function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// In the attention room `q` and `kv` are positions of tokens.
    Tokens,
    /// In the symbols room `i` and `j` are indices of blocks, `q` and `kv` the spans of their tokens, and triples of
    /// tables have names.
    Blocks,
    /// In a block sum `q_group` and `kv_group` are indices of groups of tokens.
    Groups,
}

/// How the floats of a rule are rounded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floats {
    /// As the language says: a mask or block rule decides the same on every device, at ties too.
    Exact,
    /// As is fastest: a score is a number, and a few units in its last place are lost in P's rounding.
    Fast,
}

/// Binding strength of C operators, weakest first.
fn strength(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And => 2,
        BinaryOp::Eq | BinaryOp::Ne => 3,
        BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => 4,
        BinaryOp::Add | BinaryOp::Sub => 5,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem => 6,
    }
}

const ATOM: u8 = 8;
const UNARY: u8 = 7;

impl<'a> Lowering<'a> {
    /// Exact floats, no builder.
    fn new(strategy: &'a Strategy, level: Level, head: &'a str, batch: &'a str) -> Lowering<'a> {
        Lowering { strategy, level, floats: Floats::Exact, head, batch, input_rows: "tile.kv_row", builder: None }
    }

    /// The expression as CUDA.
    pub(crate) fn expr(&self, expr: &Expr) -> String {
        self.with_strength(expr).0
    }

    fn within(&self, expr: &Expr, least: u8) -> String {
        let (text, strength) = self.with_strength(expr);
        if strength < least { format!("({text})") } else { text }
    }

    fn with_strength(&self, expr: &Expr) -> (String, u8) {
        match &expr.kind {
            ExprKind::Bool(value) => (value.to_string(), ATOM),
            ExprKind::Int(value) => integer(*value as i32),
            ExprKind::Float(value) => float(*value),
            ExprKind::Triple(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.expr(part)).collect();
                (format!("GridPoint{{{}}}", parts.join(", ")), ATOM)
            }
            ExprKind::Param(id) => {
                let param = &self.strategy.params[id.0];
                let field = format!("p.{}", param_field(&param.name));
                if param.scalar == Scalar::Bool {
                    (format!("{field} != 0"), strength(BinaryOp::Ne))
                } else {
                    (field, ATOM)
                }
            }
            ExprKind::Global(global) => (self.global(*global), ATOM),
            ExprKind::Coordinate(side, coordinate) => (self.coordinate(*side, *coordinate), ATOM),
            ExprKind::InRange(side, id) => {
                let (side, name) = (side.name(), &self.strategy.tokens[id.0].name);
                let range = range_field(name);
                match self.level {
                    Level::Tokens => {
                        (format!("{side} >= p.{range}_first && {side} < p.{range}_end"), strength(BinaryOp::And))
                    }
                    // Groups belong to no range.
                    Level::Groups => ("false".to_owned(), ATOM),
                    Level::Blocks => (format!("is_in_{name}(p, {side})"), ATOM),
                }
            }
            ExprKind::Input(id, side) => {
                let input = &self.strategy.inputs[id.0];
                // Inputs are [B, N]; queries and keys are the same tokens, so one row serves both.
                let value = format!("p.input_{}[{} + {}]", input.name, self.input_rows, side.name());
                if input.scalar == Scalar::Bool {
                    (format!("{value} != 0"), strength(BinaryOp::Ne))
                } else {
                    (value, ATOM)
                }
            }
            ExprKind::Table(id) => self.table(id.0),
            ExprKind::Logit => ("s".to_owned(), ATOM),
            ExprKind::Variant(_, number) => (number.to_string(), ATOM),
            ExprKind::Map(id, sides) => (self.map(id.0, sides), ATOM),
            ExprKind::Dot { .. } => ("dot".to_owned(), ATOM),
            ExprKind::Antidiag => ("antidiag".to_owned(), ATOM),
            ExprKind::SelfSim { of, centered } => (self.similarity(*of, *centered), ATOM),
            ExprKind::Reduce(reduction, running, value) => (self.reduce(*reduction, running, value), ATOM),
            ExprKind::Cover(cover) => (self.cover(cover), ATOM),
            ExprKind::Percentile(percentile) => (self.percentile(percentile), ATOM),
            ExprKind::Unary(UnaryOp::Neg, a) if self.may_wrap(expr) => {
                (format!("wrapping_neg({})", self.expr(a)), ATOM)
            }
            ExprKind::Unary(op, a) => match op {
                UnaryOp::Neg => (format!("-{}", self.within(a, ATOM)), UNARY),
                UnaryOp::Not if a.any(|e| matches!(e.kind, ExprKind::Order(_))) => negated(self.within(a, UNARY)),
                UnaryOp::Not => (format!("!{}", self.within(a, UNARY)), UNARY),
                UnaryOp::ToFloat => (format!("(float){}", self.within(a, ATOM)), UNARY),
            },
            ExprKind::Binary(BinaryOp::Div, a, b) if expr.ty == Type::Float && self.floats == Floats::Fast => {
                let divide = if self.is_normal(b) { "divide_by_normal" } else { "divide_approx" };
                (format!("{divide}({}, {})", self.expr(a), self.expr(b)), ATOM)
            }
            // The compiler may not fuse this product with a sum.
            ExprKind::Binary(BinaryOp::Mul, a, b) if expr.ty == Type::Float && self.floats == Floats::Exact => {
                (format!("__fmul_rn({}, {})", self.expr(a), self.expr(b)), ATOM)
            }
            ExprKind::Binary(BinaryOp::Rem, a, b) if expr.ty == Type::Float => {
                (format!("fmodf({}, {})", self.expr(a), self.expr(b)), ATOM)
            }
            ExprKind::Binary(op, a, b) if self.may_wrap(expr) => {
                (format!("{}({}, {})", wrapping(*op), self.expr(a), self.expr(b)), ATOM)
            }
            ExprKind::Binary(op, a, b) => {
                if let Some(cut) = self.cut(*op, a, b) {
                    return cut;
                }
                let own = strength(*op);
                let least = match op {
                    // Compilers warn of && inside || without parentheses; people like them too.
                    BinaryOp::Or => strength(BinaryOp::Eq),
                    BinaryOp::Eq | BinaryOp::Ne => own + 1,
                    _ => own,
                };
                let left = match (op, &a.kind) {
                    (BinaryOp::Or, ExprKind::Binary(BinaryOp::Or, ..)) => self.expr(a),
                    _ => self.within(a, least),
                };
                let right = match (op, &b.kind) {
                    (BinaryOp::Or, ExprKind::Binary(BinaryOp::Or, ..)) => self.expr(b),
                    (BinaryOp::And, _) => self.within(b, own),
                    _ => self.within(b, least.max(own + 1)),
                };
                (format!("{left} {} {right}", op.symbol()), own)
            }
            ExprKind::Call(Function::Abs, args) if self.may_wrap(expr) => {
                (format!("wrapping_abs({})", self.expr(&args[0])), ATOM)
            }
            ExprKind::Call(function, args) => (self.call(*function, args, expr.ty), ATOM),
            ExprKind::Softmax(_) | ExprKind::BlockSum(_) | ExprKind::Order(_) | ExprKind::Density(_) => {
                unreachable!(
                    "stages are maps, order maps stand in comparisons, densities in schedules: {:?}",
                    expr.kind
                )
            }
        }
    }

    /// Whether a float is 0 or of a size whose reciprocal is surely finite.
    fn is_normal(&self, expr: &Expr) -> bool {
        const LEAST: f64 = 1e-36;
        let end = |end: Option<Value>| match end {
            Some(Value::Float(end)) => Some(end),
            _ => None,
        };
        match &expr.kind {
            ExprKind::Float(value) => value.abs() >= LEAST,
            ExprKind::Param(id) => {
                let param = &self.strategy.params[id.0];
                end(param.min).is_some_and(|min| min >= LEAST) || end(param.max).is_some_and(|max| max <= -LEAST)
            }
            ExprKind::Unary(UnaryOp::ToFloat, _) => true,
            _ => false,
        }
    }

    /// Whether C leaves the result of an integer operation undefined somewhere; most are provably inside 32 bits, and stay
    /// what people write.
    fn may_wrap(&self, expr: &Expr) -> bool {
        sparsym_ir::integers::may_wrap(self.strategy, expr)
    }

    fn global(&self, global: Global) -> String {
        match global {
            Global::Head => self.head.to_owned(),
            Global::Batch => self.batch.to_owned(),
            Global::HeadDim => "kHeadDim".to_owned(),
            Global::BlockQ => "kBlockQ".to_owned(),
            Global::BlockKv => "kBlockKv".to_owned(),
            other => format!("p.{}", other.name()),
        }
    }

    fn coordinate(&self, side: Side, coordinate: Coordinate) -> String {
        if self.level == Level::Groups {
            return format!("{}_group", side.name());
        }
        let pos = side.name();
        match coordinate {
            Coordinate::Pos => pos.to_owned(),
            Coordinate::Block => if side == Side::Q { "i" } else { "j" }.to_owned(),
            Coordinate::T => format!("grid_point(p, {pos}).t"),
            Coordinate::H => format!("grid_point(p, {pos}).h"),
            Coordinate::W => format!("grid_point(p, {pos}).w"),
            Coordinate::Cell => format!("cell_in_frame(p, {pos})"),
            Coordinate::Len => format!("tokens_of({pos})"),
            Coordinate::Tile if self.level == Level::Tokens => format!("tile_point(p, {pos})"),
            // The checks make sure that all tokens of a block lie in one tile.
            Coordinate::Tile => format!("tile_point(p, {pos}.first)"),
        }
    }

    fn table(&self, id: usize) -> (String, u8) {
        let table = &self.strategy.tables[id];
        let field = format!("p.table_{}", table.name);
        let entry = match table.axes.contains(&TableAxis::Head) {
            true => format!("p.entry_of_{0} + min({1}, p.last_head_of_{0})", table.name, self.head),
            false => format!("p.entry_of_{}", table.name),
        };
        match table.element {
            Element::Three(_) if self.level != Level::Tokens => (format!("table_{}", table.name), ATOM),
            Element::Three(_) => (format!("triple_at({field} + 3 * ({entry}))"), ATOM),
            Element::One(Scalar::Bool) => (format!("{field}[{entry}] != 0"), strength(BinaryOp::Ne)),
            Element::One(_) => (format!("{field}[{entry}]"), ATOM),
        }
    }

    fn call(&self, function: Function, args: &[Expr], ty: Type) -> String {
        let a: Vec<String> = args.iter().map(|arg| self.expr(arg)).collect();
        let float = ty == Type::Float;
        let (least, most) = if float { ("fminf", "fmaxf") } else { ("min", "max") };
        match function {
            Function::Abs => format!("{}({})", if float { "fabsf" } else { "abs" }, a[0]),
            Function::Min => format!("{least}({}, {})", a[0], a[1]),
            Function::Max => format!("{most}({}, {})", a[0], a[1]),
            Function::Clamp => format!("{most}({}, {least}({}, {}))", a[1], a[0], a[2]),
            Function::BitLength => format!("bit_length({})", a[0]),
            Function::Near => format!("near(p, {}, {}, {})", a[0], a[1], a[2]),
            Function::Tanh | Function::Exp | Function::Exp2 | Function::Log | Function::Log2
                if self.floats == Floats::Exact =>
            {
                format!("{}f({})", function.name(), a[0])
            }
            // A cast is undefined for what no integer holds; these take the nearest integer, and 0 for NaN.
            Function::Floor => format!("__float2int_rd({})", a[0]),
            Function::Ceil => format!("__float2int_ru({})", a[0]),
            Function::Sqrt => format!("sqrtf({})", a[0]),
            Function::Tanh => format!("tanh_by_exp2({})", a[0]),
            Function::Exp => format!("exp2_approx(({}) * kLog2E)", a[0]),
            Function::Exp2 => format!("exp2_approx({})", a[0]),
            Function::Log => format!("(log2_approx({}) * kLn2)", a[0]),
            Function::Log2 => format!("log2_approx({})", a[0]),
        }
    }
}

/// The negation of a test: of a negated one what is inside.
fn negated(text: String) -> (String, u8) {
    let inside = text.strip_prefix("!(").and_then(|rest| rest.strip_suffix(')'));
    let is_whole = |inside: &&str| {
        let mut depth = 0;
        inside.chars().all(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth >= 0
        })
    };
    match inside.filter(is_whole) {
        Some(inside) => (inside.to_owned(), 0),
        None if text.starts_with('(') || text.starts_with('!') => (format!("!{text}"), UNARY),
        None => (format!("!({text})"), UNARY),
    }
}

/// The function that does this operation in 32 bits whatever its operands are.
fn wrapping(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "wrapping_add",
        BinaryOp::Sub => "wrapping_sub",
        BinaryOp::Mul => "wrapping_mul",
        BinaryOp::Div => "wrapping_div",
        _ => "wrapping_rem",
    }
}

/// An integer literal that C reads as an int: it has none of -2^31.
fn integer(value: i32) -> (String, u8) {
    match value {
        i32::MIN => ("(-2147483647 - 1)".to_owned(), ATOM),
        value => (value.to_string(), if value < 0 { UNARY } else { ATOM }),
    }
}

/// A float literal that C reads as exactly this f32.
fn float(value: f64) -> (String, u8) {
    let value = value as f32;
    (format!("{value:?}f"), if value.is_sign_negative() { UNARY } else { ATOM })
}
