//! Syntax tree to typed IR: names are bound, types are known.
//!
//! Clauses that are wrong are left out of the IR. A name whose declaration is wrong is known but poisoned: an expression
//! that reads it fails without a further finding.

mod binder;
mod call;
mod declare;
mod expr;
mod lets;
mod maps;
mod order;
mod place;
mod rule;
mod scope;
mod variables;
mod variant;

use sparsym_ir::{Findings, Strategy};

use crate::syntax::ast::Item;
use scope::Scope;

/// The strategy as far as it could be understood.
pub(crate) fn resolve(item: &Item, findings: &mut Findings) -> Strategy {
    let mut scope = Scope::new(&item.poisoned);
    let mut strategy = Strategy { name: item.name.text.clone(), doc: item.doc.clone(), ..Strategy::dense() };
    strategy.span = item.span;
    declare::strategy_name(&item.name, findings);
    let mut clauses = rule::Clauses::default();
    for clause in &item.clauses {
        // In source order: a name is read below its declaration only.
        if !declare::declare(clause, &mut strategy, &mut scope, findings) {
            rule::resolve(clause, &mut strategy, &mut scope, &mut clauses, findings);
        }
    }
    strategy
}
