//! Where a block stands among the others of its line: order maps, percentiles, covers. They stand in conditions of block
//! rules.

use sparsym_ir::expr::{
    Axis, BinaryOp, Cover, CoverRule, Expr, ExprKind, Line, Measure, Order, Percentile, Side, Type, UnaryOp,
};
use sparsym_ir::{Code, Finding, Span};

use super::expr::{Grain, Resolver, Setting, count, to_float};
use super::variables::blocks_of;
use crate::syntax::ast;

impl Resolver<'_> {
    /// A comparison with an order map on one side; None if this is none.
    pub(super) fn ordered(
        &mut self,
        op: BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Option<Option<(ExprKind, Type)>> {
        if !matches!(op, BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge) {
            return None;
        }
        match (&left.kind, &right.kind) {
            (ast::ExprKind::Order(order), _) => Some(self.compared(op, order, left.span, right, false)),
            (_, ast::ExprKind::Order(order)) => Some(self.compared(op, order, right.span, left, true)),
            _ => None,
        }
    }

    fn compared(
        &mut self,
        op: BinaryOp,
        order: &ast::Order,
        span: Span,
        other: &ast::Expr,
        swapped: bool,
    ) -> Option<(ExprKind, Type)> {
        let along = order.name.text.clone();
        let order = self.order(order, span);
        // An order map on the other side too is reported by `lone_order`.
        let other = self.expr(other);
        let (order, mut other) = (order?, other?);
        let wanted = order.ty;
        if wanted == Type::Float && other.ty == Type::Int {
            other = to_float(other);
        }
        if other.ty != wanted {
            let (expected, help) = match wanted {
                Type::Int => ("an integer", "a rank counts blocks: use `floor` or `ceil`"),
                _ => ("a number", "a mass is a sum of values"),
            };
            return self.mismatch(other.span, expected, other.ty, help);
        }
        let ExprKind::Order(inner) = &order.kind else { return None };
        let lines = self.along(inner.line);
        if let Some(&side) = lines.iter().find(|&&side| self.varies(&other)[side as usize]) {
            let name = self.variables.name(side).unwrap_or(side.name());
            let message = format!("this changes with `{name}`, along which `{along}` counts");
            let help = "one side of the comparison is the same for the whole line".to_owned();
            return self.wrong(Code::OrderPlace, other.span, message, help);
        }
        self.mass_axis(inner, &other, &along)?;
        let (left, right) = if swapped { (other, order) } else { (order, other) };
        Some((ExprKind::Binary(op, Box::new(left), Box::new(right)), Type::Bool))
    }

    /// An order map that is not one side of a comparison.
    pub(super) fn lone_order(&mut self, order: &ast::Order) -> Option<Expr> {
        let name = &order.name;
        self.order_place(name)?;
        let message = format!("`{}` stands outside of a comparison", name.text);
        let help = format!("write `{}(x) <= threshold`, with `<`, `<=`, `>` or `>=`", name.text);
        self.wrong(Code::OrderPlace, name.span, message, help)
    }

    /// Whether the condition of a block rule stands here.
    fn order_place(&mut self, name: &ast::Name) -> Option<()> {
        self.data(&format!("`{}`", name.text), name.span)?;
        if self.line.is_some() {
            return Some(());
        }
        let message = match self.setting {
            Setting::Block => format!("`{}` stands inside another function over blocks", name.text),
            _ => format!("`{}` belongs to a rule: it counts along the blocks that the rule looks at", name.text),
        };
        self.wrong(Code::OrderPlace, name.span, message, "write it in the condition of a block rule".to_owned())
    }

    fn order(&mut self, order: &ast::Order, span: Span) -> Option<Expr> {
        self.order_place(&order.name)?;
        let line = if order.per_head { Line::Head } else { Line::Row };
        let outside = self.line.take();
        let value = self.part(&order.value, Type::Float, "blocks are put in order of a number");
        let first = order
            .first
            .as_ref()
            .map(|first| self.part(first, Type::Bool, "`first` says which blocks are counted before all others"));
        self.line = outside;
        let (value, first) = (value?, super::binder::transpose(first)?);
        self.line_values(&order.name, line, &value)?;
        let ty = if order.measure == Measure::Rank { Type::Int } else { Type::Float };
        let kind = Order { measure: order.measure, descending: order.descending, line, first, value };
        Some(Expr { kind: ExprKind::Order(Box::new(kind)), ty, span })
    }

    /// Values change along the line on which they are put in order.
    fn line_values(&mut self, name: &ast::Name, line: Line, value: &Expr) -> Option<()> {
        let (lines, free) = (self.along(line), value.free_sides());
        if lines.iter().any(|&side| free[side as usize]) {
            return Some(());
        }
        let names: Vec<String> =
            lines.iter().map(|&side| format!("`{}`", self.variables.name(side).unwrap_or(side.name()))).collect();
        let names = names.join(" or ");
        let message = format!("`{}` counts along {names}, and these values do not change with it", name.text);
        let help = match (line, self.line) {
            (Line::Row, Some(Side::Kv)) => {
                "a rule over (q, kv) puts the kv blocks of each query block in order; write a rule over q, or other values"
            }
            _ => "put values in order that change from block to block",
        };
        self.wrong(Code::OrderLine, value.span, message, help.to_owned())
    }

    /// The variables along which a line runs.
    fn along(&self, line: Line) -> Vec<Side> {
        match (line, self.line) {
            (Line::Head, Some(Side::Kv)) => vec![Side::Q, Side::Kv],
            (_, side) => side.into_iter().collect(),
        }
    }

    /// The variables with which a value changes. A percentile is the same for all of its line.
    fn varies(&self, value: &Expr) -> [bool; 2] {
        match &value.kind {
            ExprKind::Percentile(percentile) => {
                let mut varies = percentile.value.free_sides();
                for side in self.along(percentile.line) {
                    varies[side as usize] = false;
                }
                varies
            }
            ExprKind::Unary(..) | ExprKind::Binary(..) | ExprKind::Call(..) => {
                let children = value.children().into_iter().map(|child| self.varies(child));
                children.fold([false; 2], |[a, b], [c, d]| [a || c, b || d])
            }
            _ => value.free_sides(),
        }
    }

    /// A share of mass means something if the values add up to 1 along the line.
    fn mass_axis(&mut self, order: &Order, other: &Expr, name: &str) -> Option<()> {
        let Some(along) = self.line else { return Some(()) };
        // A threshold that is made from data scales with the values.
        if order.measure == Measure::Rank || order.line == Line::Head || other.reads_data() {
            return Some(());
        }
        let Some((axis, span)) = self.normalised(&order.value, Axis::from(along)) else { return Some(()) };
        let message = format!(
            "these values add up to 1 over {}, and `{name}` adds them up over {}",
            blocks_of(axis),
            blocks_of(along.into())
        );
        let variable = self.variables.name(along).unwrap_or(along.name());
        let help = format!("write `softmax({variable}: …)`, or compare with a sum of the same values");
        self.findings.push(Finding::at(Code::MassAxis, span, message, help));
        None
    }

    /// The axis of a softmax in a sum of softmaxes, if it is another one.
    fn normalised(&self, value: &Expr, along: Axis) -> Option<(Axis, Span)> {
        match &value.kind {
            ExprKind::Softmax(softmax) => (softmax.over.axis != along).then_some((softmax.over.axis, value.span)),
            ExprKind::Map(id, sides) => {
                let map = &self.strategy.maps[id.0];
                // Inside the map the line may be called otherwise.
                let inside = map.axes.iter().zip(sides).find(|(_, side)| Axis::from(**side) == along)?;
                let (axis, _) = self.normalised(&map.value, inside.0.side.into())?;
                let outside = map.axes.iter().zip(sides).find(|(inner, _)| Axis::from(inner.side) == axis);
                Some((outside.map_or(axis, |(_, &side)| side.into()), value.span))
            }
            ExprKind::Unary(UnaryOp::Neg, a) => self.normalised(a, along),
            ExprKind::Binary(BinaryOp::Add | BinaryOp::Sub, a, b) => {
                self.normalised(a, along).or_else(|| self.normalised(b, along))
            }
            ExprKind::Binary(BinaryOp::Mul | BinaryOp::Div, a, b) => match (a.reads_data(), b.reads_data()) {
                (true, false) => self.normalised(a, along),
                (false, true) => self.normalised(b, along),
                _ => None,
            },
            _ => None,
        }
    }

    /// `ascending_mass(x) <= tau at least 1`
    pub(super) fn at_least(&mut self, comparison: &ast::Expr, least: &ast::Expr, span: Span) -> Option<Expr> {
        let is_order = |side: &ast::Expr| matches!(side.kind, ast::ExprKind::Order(_));
        let order = match &comparison.kind {
            ast::ExprKind::Binary(_, left, right) => is_order(left) || is_order(right),
            _ => false,
        };
        if !order {
            let message = "`at least` stands after the comparison of an order map".to_owned();
            let help = "write `descending_mass(x) <= tau at least 1`".to_owned();
            return self.wrong(Code::OrderPlace, least.span, message, help);
        }
        let compared = self.expr(comparison);
        let least = self.part(least, Type::Int, "`at least` counts blocks");
        let (compared, least) = (compared?, least?);
        let ExprKind::Binary(_, left, right) = &compared.kind else { return None };
        let order = [left, right].into_iter().find_map(|side| match &side.kind {
            ExprKind::Order(order) => Some((order, side.span)),
            _ => None,
        });
        let (order, at) = order?;
        self.nodes += count(&compared);
        if self.nodes > super::expr::MAX_NODES {
            return self.too_large(span);
        }
        if let Some(&side) = self.along(order.line).iter().find(|&&side| self.varies(&least)[side as usize]) {
            let name = self.variables.name(side).unwrap_or(side.name());
            let message = format!("this number changes with `{name}`, along which blocks are counted");
            let help = "count to a number that is the same for the whole line".to_owned();
            return self.wrong(Code::OrderPlace, least.span, message, help);
        }
        let rank = ExprKind::Order(Box::new(Order { measure: Measure::Rank, ..(**order).clone() }));
        let rank = Expr { kind: rank, ty: Type::Int, span: at };
        let among = ExprKind::Binary(BinaryOp::Lt, Box::new(rank), Box::new(least));
        let among = Expr { kind: among, ty: Type::Bool, span };
        Some(Expr { kind: ExprKind::Binary(BinaryOp::Or, Box::new(compared), Box::new(among)), ty: Type::Bool, span })
    }

    /// `percentile(s[q, kv] per head, 0.9)`
    pub(super) fn percentile(&mut self, percentile: &ast::Percentile) -> Option<(ExprKind, Type)> {
        self.order_place(&percentile.name)?;
        let line = if percentile.per_head { Line::Head } else { Line::Row };
        let outside = self.line.take();
        let value = self.part(&percentile.value, Type::Float, "a percentile is of numbers");
        let share = self.share(&percentile.share, "the share of a percentile");
        self.line = outside;
        let (value, share) = (value?, share?);
        self.line_values(&percentile.name, line, &value)?;
        Some((ExprKind::Percentile(Box::new(Percentile { line, value, share })), Type::Float))
    }

    /// `cover(fraction(0.33, 0.6) per frame: condition)`
    pub(super) fn cover(&mut self, cover: &ast::Cover) -> Option<(ExprKind, Type)> {
        self.order_place(&cover.name)?;
        if self.line != Some(Side::Kv) {
            let message = "`cover` is of pairs of blocks, and this rule is over query blocks".to_owned();
            let help = "write it in a `skip` or `keep` rule".to_owned();
            return self.wrong(Code::MapAxis, cover.name.span, message, help);
        }
        let outside = self.line.take();
        let rule = match &cover.rule {
            ast::CoverRule::Any => Some(CoverRule::Any),
            ast::CoverRule::All => Some(CoverRule::All),
            ast::CoverRule::Fraction(numbers) => {
                let [least, share] = &**numbers;
                let least = self.share(least, "the density of a fraction");
                let share = self.share(share, "the share of a fraction");
                least.zip(share).map(|(least, share)| CoverRule::Fraction { least, share })
            }
        };
        let grain = std::mem::replace(&mut self.grain, Grain::Tokens);
        let mask = self.part(&cover.mask, Type::Bool, "`cover` asks which token pairs pass");
        (self.grain, self.line) = (grain, outside);
        let cover = Cover { rule: rule?, per_frame: cover.per_frame, mask: mask? };
        Some((ExprKind::Cover(Box::new(cover)), Type::Bool))
    }

    /// A number from 0 to 1 that is the same for all blocks.
    fn share(&mut self, written: &ast::Expr, what: &str) -> Option<Expr> {
        let share = self.part(written, Type::Float, "a share is a number from 0 to 1")?;
        if share.free_sides() != [false; 2] || share.reads_data() {
            let message = format!("{what} is the same for all blocks");
            return self.wrong(Code::WrongPlace, share.span, message, "use a literal, a param or a table".to_owned());
        }
        let literal = match &share.inlined().kind {
            ExprKind::Float(value) => Some(*value),
            ExprKind::Unary(UnaryOp::Neg, operand) => match operand.kind {
                ExprKind::Float(value) => Some(-value),
                _ => None,
            },
            _ => None,
        };
        if let Some(value) = literal.filter(|value| !(0.0..=1.0).contains(value)) {
            let message = format!("{what} is {value:?}, outside 0.0..=1.0");
            return self.wrong(Code::Share, share.span, message, "0.9 stands for nine of ten".to_owned());
        }
        Some(share)
    }

    /// `density(cache)`
    pub(super) fn density(&mut self, args: &[ast::Expr], span: Span) -> Option<ExprKind> {
        use sparsym_ir::expr::SymbolKind;
        if self.setting != Setting::Degrade {
            let message = format!("`density` is not known in {}", self.setting.name());
            let help = "it is asked after an Update: `degrade when density(cache) <= 0.3;`".to_owned();
            return self.wrong(Code::WrongPlace, span, message, help);
        }
        let symbol = match args {
            [ast::Expr { kind: ast::ExprKind::Name(name), .. }] => {
                [SymbolKind::Cache, SymbolKind::Skip].into_iter().find(|symbol| symbol.name() == name)
            }
            _ => None,
        };
        let Some(symbol) = symbol else {
            let help = "write `density(cache)` or `density(skip)`".to_owned();
            return self.wrong(Code::UndefinedName, span, "`density` is of one of the two symbols".to_owned(), help);
        };
        Some(ExprKind::Density(symbol))
    }
}
