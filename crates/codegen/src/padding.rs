//! What to do about a head dimension without a kernel: how to pad it so that the numbers stay what they were.

use sparsym_ir::expr::{ExprKind, Global};
use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Code, Finding};

use crate::request::Request;

/// S603, with the help that fits the request: everything that a head dimension with a kernel would change is named, by what
/// `padding` says of it. `words` are those of the head dimensions with a kernel.
pub(crate) fn no_kernel(
    request: &Request<'_>,
    kernels: &[usize],
    words: &str,
    padding: impl FnOnce(usize) -> Vec<String>,
) -> Finding {
    let (from, room) = (request.head_dim, request.room.room().name());
    let help = match kernels.iter().find(|&&known| known >= from) {
        Some(&to) => format!("{}; or use the cpu device", padding(to).join("; ")),
        None => "use the cpu device".to_owned(),
    };
    let what = format!("there is no {room} kernel for head dimension {from}; there are {words}");
    Finding::new(Code::HeadDimension, what, help)
}

/// What to change in rules that read `D`.
pub(crate) fn of_rules(strategy: &Strategy, from: usize) -> Option<String> {
    let reads_d = |kind: &ExprKind| *kind == ExprKind::Global(Global::HeadDim);
    let changes = strategy.exprs().any(|expr| expr.any(|e| reads_d(&e.kind)));
    changes.then(|| format!("write {from} in place of D in the rules of {}", strategy.name))
}
