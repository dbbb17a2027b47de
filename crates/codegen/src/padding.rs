//! What to do about a head dimension without a kernel: how to pad it so that the numbers stay what they were.

use sparsym_ir::expr::{ExprKind, Global};
use sparsym_ir::projection::RopePairs;
use sparsym_ir::{Code, Finding};

use crate::plan::{Request, Room};

/// S603, with the help that fits the request: everything that a head dimension of `to` would change is named.
pub(crate) fn no_kernel(request: &Request<'_>, kernels: &[usize]) -> Finding {
    let (from, room) = (request.head_dim, request.room.name());
    let known = match request.room {
        Room::Symbols => "multiples of 8 up to 256".to_owned(),
        _ => kernels.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let help = match kernels.iter().find(|&&known| known >= from) {
        Some(&to) => padding(request, to),
        None => "use the cpu device".to_owned(),
    };
    let what = format!("there is no {room} kernel for head dimension {from}; there are {known}");
    Finding::new(Code::HeadDimension, what, help)
}

fn padding(request: &Request<'_>, to: usize) -> String {
    let from = request.head_dim;
    let mut steps = Vec::new();
    match request.room {
        Room::Attention => {
            steps.push(format!("pad the heads of Q, K and V with zeros to D = {to}"));
            steps.push(format!(
                "keep the scale of D = {from}: give scale = {} where there was none, which is 1/sqrt({from})",
                1.0 / (from as f32).sqrt()
            ));
            steps.push(format!("take the first {from} values of each head of O"));
        }
        Room::Symbols => steps.push(format!("pad the heads of Q and K with zeros to D = {to}")),
        Room::GemmQ => steps.extend(of_gemm_q(request, to)),
        Room::GemmO => steps.push(format!("pad the heads of O, and in the columns of w, with zeros to D = {to}")),
    }
    let reads_d = |kind: &ExprKind| *kind == ExprKind::Global(Global::HeadDim);
    let of_rules = matches!(request.room, Room::Attention | Room::Symbols);
    if of_rules && request.strategy.exprs().any(|expr| expr.any(|e| reads_d(&e.kind))) {
        steps.push(format!("write {from} in place of D in the rules of {}", request.strategy.name));
    }
    format!("{}; or use the cpu device", steps.join("; "))
}

/// A mean square over more channels is smaller, and a rotation of halves finds its pairs elsewhere.
fn of_gemm_q(request: &Request<'_>, to: usize) -> Vec<String> {
    let (from, projection) = (request.head_dim, request.projection);
    let bias = if projection.bias { ", and of bias," } else { "" };
    let mut steps = vec![match projection.rope {
        Some(RopePairs::Half) => {
            format!("pad both halves of each head in the rows of w{bias} with zeros to {}", to / 2)
        }
        _ => format!("pad the heads in the rows of w{bias} with zeros to D = {to}"),
    }];
    if projection.norm {
        steps.push(format!("pad q_norm likewise and multiply it by sqrt({from}/{to}), and norm_eps by {from}/{to}"));
    }
    if projection.rope.is_some() {
        steps.push(format!("pad rope_cos with ones and rope_sin with zeros to {}", to / 2));
    }
    steps
}
