//! Expressions.

use sparsym_ir::expr::{
    BinaryOp, Coordinate, Cover, CoverRule, Expr, ExprKind, Line, Order, Running, Side, Softmax, UnaryOp, Within,
};
use sparsym_ir::lets::LetSide;
use sparsym_ir::strategy::Strategy;

/// What variables are called.
#[derive(Clone)]
pub(super) struct Names<'s> {
    /// None: as the language calls them.
    pub(super) sides: [Option<&'s str>; 2],
    pub(super) logit: &'s str,
    /// Stride of the present `blocksum`.
    pub(super) stride: Option<&'s Expr>,
}

impl Default for Names<'_> {
    fn default() -> Self {
        Names { sides: [None; 2], logit: "s", stride: None }
    }
}

impl<'s> Names<'s> {
    fn of(&self, side: Side) -> &'s str {
        self.sides[side as usize].unwrap_or(side.name())
    }
}

/// The expression as text.
pub(super) fn print(strategy: &Strategy, names: &Names, value: &Expr) -> String {
    Printer { strategy, names }.expr(value)
}

#[derive(Clone, Copy)]
struct Printer<'s, 'n> {
    strategy: &'s Strategy,
    names: &'n Names<'n>,
}

impl Printer<'_, '_> {
    fn expr(&self, value: &Expr) -> String {
        let strategy = self.strategy;
        let name = |side: &Side| self.names.of(*side);
        match &value.kind {
            ExprKind::Bool(value) => value.to_string(),
            ExprKind::Int(value) => value.to_string(),
            ExprKind::Float(value) => format!("{value:?}"),
            ExprKind::Triple(parts) => format!("({})", self.list(parts.iter())),
            ExprKind::Param(id) => strategy.params[id.0].name.clone(),
            ExprKind::Global(global) => global.name().to_owned(),
            ExprKind::Coordinate(side, coordinate) => format!("{}.{}", name(side), coordinate_name(*coordinate)),
            ExprKind::InRange(side, id) => format!("{} in {}", name(side), strategy.tokens[id.0].name),
            ExprKind::Input(id, side) => format!("{}[{}]", strategy.inputs[id.0].name, name(side)),
            ExprKind::Table(id) => strategy.tables[id.0].name.clone(),
            ExprKind::Variant(id, index) => strategy.tables[id.0].variants[*index].clone(),
            ExprKind::Let(named) => {
                let named = &strategy.lets[named.id.0];
                format!("{}{}", named.name, arguments(named.side))
            }
            ExprKind::Logit => self.names.logit.to_owned(),
            ExprKind::Map(id, sides) => {
                let sides: Vec<&str> = sides.iter().map(name).collect();
                format!("{}[{}]", strategy.maps[id.0].name, sides.join(", "))
            }
            ExprKind::Dot { q_centered, kv_centered } => {
                format!("pool({}) . pool({})", tensor("Q", *q_centered), tensor("K", *kv_centered))
            }
            ExprKind::SelfSim { of, centered } => {
                let of_name = if *of == Side::Q { "Q" } else { "K" };
                format!("selfsim({})[{}]", tensor(of_name, *centered), name(of))
            }
            ExprKind::Antidiag => {
                let stride = self.names.stride.map_or_else(|| "1".to_owned(), |stride| self.expr(stride));
                format!("antidiag(Q, K, {stride})")
            }
            ExprKind::BlockSum(sum) => {
                let names = Names { stride: Some(&sum.stride), ..self.names.clone() };
                let inside = Printer { strategy, names: &names };
                let visible = inside.clause("where", sum.visible.as_ref());
                format!("blocksum(softmax({}{visible}: {}))", name(&Side::Kv), inside.expr(&sum.logit))
            }
            ExprKind::Reduce(reduction, running, value) => self.running(reduction.name(), running, None, value),
            ExprKind::Softmax(softmax) => {
                let Softmax { over, weight, value } = &**softmax;
                self.running("softmax", over, weight.as_ref(), value)
            }
            ExprKind::Order(order) => self.order(order),
            ExprKind::Percentile(percentile) => format!(
                "percentile({}{}, {})",
                self.expr(&percentile.value),
                per_head(percentile.line),
                self.expr(&percentile.share)
            ),
            ExprKind::Cover(cover) => self.cover(cover),
            ExprKind::Density(symbol) => format!("density({})", symbol.name()),
            ExprKind::Unary(UnaryOp::ToFloat, operand) => format!("float({})", self.expr(operand)),
            ExprKind::Unary(op, operand) => {
                let symbol = if *op == UnaryOp::Neg { "-" } else { "!" };
                format!("{symbol}{}", self.bracketed(operand, UNARY))
            }
            ExprKind::Binary(op, left, right) => {
                let level = level(*op);
                // Comparisons do not chain, so both of their sides bind tighter; other operators chain to the left.
                let left_level = if level == COMPARISON { level + 1 } else { level };
                let (left, right) = (self.bracketed(left, left_level), self.bracketed(right, level + 1));
                format!("{left} {} {right}", op.symbol())
            }
            ExprKind::Call(function, args) => format!("{}({})", function.name(), self.list(args.iter())),
        }
    }

    /// `softmax(v in vision where … weight …: …)`
    fn running(&self, function: &str, running: &Running, weight: Option<&Expr>, value: &Expr) -> String {
        let side = [Side::Q, Side::Kv].into_iter().find(|&side| running.axis == side.into());
        let variable = side.map_or(running.axis.name(), |side| self.names.of(side));
        let within = match running.within {
            Within::All => String::new(),
            Within::Range(id) => format!(" in {}", self.strategy.tokens[id.0].name),
            Within::QueryBlock => format!(" in {}", self.names.of(Side::Q)),
        };
        let mut names = self.names.clone();
        if let Some(side) = side {
            names.sides[side as usize] = Some(variable);
        }
        let inside = Printer { strategy: self.strategy, names: &names };
        let (visible, weight) = (inside.clause("where", running.visible.as_ref()), inside.clause("weight", weight));
        format!("{function}({variable}{within}{visible}{weight}: {})", inside.expr(value))
    }

    /// `descending_rank(x per head, first: …)`
    fn order(&self, order: &Order) -> String {
        let first = order.first.as_ref().map_or_else(String::new, |first| format!(", first: {}", self.expr(first)));
        format!("{}({}{}{first})", order.name(), self.expr(&order.value), per_head(order.line))
    }

    /// `cover(fraction(0.33, 0.6) per frame: …)`
    fn cover(&self, cover: &Cover) -> String {
        let rule = match &cover.rule {
            CoverRule::Any => "any".to_owned(),
            CoverRule::All => "all".to_owned(),
            CoverRule::Fraction { least, share } => format!("fraction({}, {})", self.expr(least), self.expr(share)),
        };
        let per_frame = if cover.per_frame { " per frame" } else { "" };
        format!("cover({rule}{per_frame}: {})", self.expr(&cover.mask))
    }

    /// ` where …`
    fn clause(&self, word: &str, value: Option<&Expr>) -> String {
        value.map_or_else(String::new, |value| format!(" {word} {}", self.expr(value)))
    }

    /// The expression, in brackets if it binds looser than `least`.
    fn bracketed(&self, value: &Expr, least: u8) -> String {
        let text = self.expr(value);
        let binds = match &value.kind {
            ExprKind::Binary(op, ..) => level(*op),
            _ => UNARY,
        };
        if binds < least { format!("({text})") } else { text }
    }

    fn list<'e>(&self, values: impl Iterator<Item = &'e Expr>) -> String {
        values.map(|value| self.expr(value)).collect::<Vec<_>>().join(", ")
    }
}

/// `(q, kv)` behind the name of a value; where it is read, tokens have their usual names.
pub(super) fn arguments(side: LetSide) -> &'static str {
    match side {
        LetSide::None => "",
        LetSide::Q => "(q)",
        LetSide::Kv => "(kv)",
        LetSide::Pair => "(q, kv)",
    }
}

const COMPARISON: u8 = 2;
const UNARY: u8 = 5;

/// How tightly an operator binds; the levels of `syntax::expr`.
fn level(op: BinaryOp) -> u8 {
    use BinaryOp::*;
    match op {
        Or => 0,
        And => 1,
        Lt | Le | Gt | Ge | Eq | Ne => COMPARISON,
        Add | Sub => 3,
        Mul | Div | Rem => 4,
    }
}

fn coordinate_name(coordinate: Coordinate) -> &'static str {
    match coordinate {
        Coordinate::Pos => "pos",
        Coordinate::Block => "block",
        Coordinate::T => "t",
        Coordinate::H => "h",
        Coordinate::W => "w",
        Coordinate::Tile => "tile",
        Coordinate::Cell => "cell",
        Coordinate::Len => "len",
    }
}

fn tensor(name: &str, centered: bool) -> String {
    if centered { format!("center({name})") } else { name.to_owned() }
}

fn per_head(line: Line) -> &'static str {
    match line {
        Line::Row => "",
        Line::Head => " per head",
    }
}
