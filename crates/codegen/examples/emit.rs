//! Prints an attention kernel: `cargo run -p sparsym-codegen --example emit -- sm_80 128 masked scored ragged forecast`,
//! `heaviest_first` for a list of tiles.
//!
//! The rules are built as IR by hand, as a tool of one's own would; people write them with `strategy!`.

use sparsym_codegen::{
    AttentionRequest, CachedRows, Request, RoomRequest, Scale, Sequences, Target, TileOrder, generate,
};
use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Side, Type};
use sparsym_ir::strategy::{Strategy, TokenRule};
use sparsym_ir::{DType, Span};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let target = Target::parse(&args.next().unwrap_or("sm_80".to_owned()))?;
    let head_dim = args.next().map_or(Ok(128), |d| d.parse())?;
    let options: Vec<String> = args.collect();
    let has = |option: &str| options.iter().any(|o| o == option);

    let mut strategy = Strategy::dense();
    strategy.mask = has("masked").then(|| rule(window(64)));
    strategy.score = has("scored").then(|| rule(soft_cap(30.0)));
    let attention = AttentionRequest {
        strategy: &strategy,
        blocks: strategy.blocks,
        sequences: if has("ragged") { Sequences::Ragged } else { Sequences::Uniform },
        cached_rows: if has("forecast") { CachedRows::Forecast } else { CachedRows::LeftToCaller },
        scale: Scale::Positive,
        order: if has("heaviest_first") { TileOrder::HeaviestFirst } else { TileOrder::Grid },
    };
    let dtype = if has("f16") { DType::F16 } else { DType::Bf16 };
    let request = Request { dtype, head_dim, ..Request::of(RoomRequest::Attention(attention), target) };
    print!("{}", generate(&request)?.source);
    Ok(())
}

/// abs(q.pos - kv.pos) <= reach
fn window(reach: i64) -> Expr {
    let pos = |side| expr(ExprKind::Coordinate(side, Coordinate::Pos), Type::Int);
    let distance = binary(BinaryOp::Sub, pos(Side::Q), pos(Side::Kv), Type::Int);
    let distance = expr(ExprKind::Call(Function::Abs, vec![distance]), Type::Int);
    binary(BinaryOp::Le, distance, expr(ExprKind::Int(reach), Type::Int), Type::Bool)
}

/// cap * tanh(s / cap)
fn soft_cap(cap: f64) -> Expr {
    let cap = || expr(ExprKind::Float(cap), Type::Float);
    let ratio = binary(BinaryOp::Div, expr(ExprKind::Logit, Type::Float), cap(), Type::Float);
    let bent = expr(ExprKind::Call(Function::Tanh, vec![ratio]), Type::Float);
    binary(BinaryOp::Mul, cap(), bent, Type::Float)
}

fn binary(op: BinaryOp, a: Expr, b: Expr, ty: Type) -> Expr {
    expr(ExprKind::Binary(op, Box::new(a), Box::new(b)), ty)
}

fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

fn rule(value: Expr) -> TokenRule {
    TokenRule { value, span: Span::default() }
}
