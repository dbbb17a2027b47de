//! Which values are known where.

use sparsym_ir::expr::{Expr, ExprKind, Global, Type};
use sparsym_ir::strategy::{Strategy, TableAxis};
use sparsym_ir::{Code, Span};

use super::expr::{Resolver, Setting};

impl Resolver<'_> {
    /// Whether a value of the language is known where the expression stands.
    pub(super) fn is_known_here(&self, global: Global) -> bool {
        let value = Expr { kind: ExprKind::Global(global), ty: Type::Int, span: Span::default() };
        wrong_place(self.setting, &value, self.strategy).is_none()
    }

    /// Whether all values are known where the expression stands.
    pub(super) fn check_place(&mut self, value: &Expr) -> bool {
        let mut wrong = None;
        value.walk(&mut |e| wrong = wrong.or(wrong_place(self.setting, e, self.strategy).map(|what| (e.span, what))));
        let Some((span, what)) = wrong else { return true };
        let (place, help) = match self.setting {
            Setting::Update => ("`update when`", "an update concerns all layers, heads and batch items of a step"),
            Setting::Degrade => ("`degrade when`", "a layer is reused for all its heads and batch items"),
            Setting::Dense => ("`dense when`", "a dense step concerns all heads and batch items of a layer"),
            _ => ("a forecast order", "take the order from a literal or a param"),
        };
        self.wrong::<()>(Code::WrongPlace, span, format!("{what} is not known in {place}"), help.to_owned());
        false
    }
}

/// What makes a value unknown in the schedule or in a forecast order.
fn wrong_place(setting: Setting, value: &Expr, strategy: &Strategy) -> Option<&'static str> {
    let (heads, layers, orders) = match setting {
        Setting::Let | Setting::TokenLet | Setting::Mask | Setting::Score | Setting::Block => return None,
        Setting::Update => (true, true, false),
        Setting::Dense | Setting::Degrade => (true, false, false),
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
        () if global(Global::Step) || global(Global::Steps) => None,
        () if orders && matches!(value.kind, ExprKind::Global(_) | ExprKind::Table(_)) => Some("a value of a call"),
        () => None,
    }
}
