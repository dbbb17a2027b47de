//! Names of a table's entries: `method == arrow`.

use sparsym_ir::Code;
use sparsym_ir::expr::{BinaryOp, Expr, ExprKind, Type};
use sparsym_ir::strategy::TableId;

use super::expr::Resolver;
use super::scope::Symbol;
use crate::syntax::ast;
use crate::syntax::words::closest;

/// Names of entries that a hint looks at.
const MOST_NAMES: usize = 50;

impl Resolver<'_> {
    /// A comparison of a table with names; None if this is none.
    pub(super) fn variants(
        &mut self,
        op: BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Option<Option<(ExprKind, Type)>> {
        let (table, swapped) = match (self.variant_table(left), self.variant_table(right)) {
            (Some(table), _) => (table, false),
            (None, Some(table)) => (table, true),
            // Nothing is known of the names of a table that is wrong.
            (None, None) if self.is_poisoned(left) || self.is_poisoned(right) => {
                let others = [left, right].into_iter().filter(|side| !matches!(side.kind, ast::ExprKind::Name(_)));
                others.for_each(|side| drop(self.expr(side)));
                return Some(None);
            }
            (None, None) => return None,
        };
        if !matches!(op, BinaryOp::Eq | BinaryOp::Ne) {
            return None;
        }
        let (read, name) = if swapped { (right, left) } else { (left, right) };
        let read = self.expr(read);
        let name = self.variant(table, name);
        let compare = |read: Expr, name: Expr| {
            let (left, right) = if swapped { (name, read) } else { (read, name) };
            (ExprKind::Binary(op, Box::new(left), Box::new(right)), Type::Bool)
        };
        Some(read.zip(name).map(|(read, name)| compare(read, name)))
    }

    /// The table with names that an expression reads.
    fn variant_table(&self, value: &ast::Expr) -> Option<TableId> {
        let ast::ExprKind::Name(name) = &value.kind else { return None };
        let id = match self.scope.peek(name)? {
            Symbol::Table(id) => *id,
            Symbol::Let(id, _) => match self.strategy.lets[id.0].value.value().kind {
                ExprKind::Table(id) => id,
                _ => return None,
            },
            _ => return None,
        };
        (!self.strategy.tables[id.0].variants.is_empty()).then_some(id)
    }

    fn is_poisoned(&self, value: &ast::Expr) -> bool {
        matches!(&value.kind, ast::ExprKind::Name(name) if self.scope.is_poisoned(name))
    }

    fn variant(&mut self, id: TableId, written: &ast::Expr) -> Option<Expr> {
        let table = &self.strategy.tables[id.0];
        // The first of them: a hint, not a listing.
        let names = || table.variants.iter().map(String::as_str).take(MOST_NAMES);
        let span = written.span;
        let ast::ExprKind::Name(text) = &written.kind else {
            let message = format!("`{}` is compared with something that is not the name of an entry", table.name);
            let help = format!("its entries are {}", names().collect::<Vec<_>>().join(", "));
            return self.wrong(Code::UnknownVariant, span, message, help);
        };
        let Some(index) = table.variants.iter().position(|name| name == text) else {
            let message = format!("table `{}` has no entry `{text}`", table.name);
            let help = match closest(text, names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("its entries are {}", names().collect::<Vec<_>>().join(", ")),
            };
            return self.wrong(Code::UnknownVariant, span, message, help);
        };
        Some(Expr { kind: ExprKind::Variant(id, index), ty: Type::Variant, span })
    }
}
