//! Rules of the IR as CUDA: expressions and token rules, block rules, and the classification of masks. Everything is a tree
//! until it is printed.

mod affine;
mod blocks;
mod body;
mod cells;
mod cover;
mod cuda;
mod cuts;
mod data;
mod expr;
mod formula;
mod functions;
mod interval;
mod layout;
mod locals;
mod symbols;

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Type};
use sparsym_ir::strategy::{Strategy, TokenRule};

use serde::Serialize;

pub use data::reads_means_alone;
pub(crate) use symbols::SymbolRules;

use body::{Statement, Word, define, signature};
use cuda::{Cuda, field, name};
use expr::{BatchPlace, Floats, Level, Lowering};
use functions::Builder;

use crate::kernel::Step;
use crate::params::Buffer;
use crate::plan::SymbolsPlan;

/// Rules over tokens as CUDA functions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TokenRules {
    /// Their definitions.
    #[serde(skip)]
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
}

/// Rules over blocks as CUDA functions, and launches that come before them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct BlockRules {
    /// Definitions for all launches; empty when there are none.
    #[serde(skip)]
    pub shared_functions: String,
    /// Definitions for the last launch; empty when there are none.
    #[serde(skip)]
    pub functions: String,
    /// What the symbols room puts where.
    pub symbols: SymbolRules,
    /// Whether passes over tokens sum directions.
    pub sums_directions: bool,
    /// Whether one of them takes the mean of all tokens away.
    pub subtracts_center: bool,
    /// The mask's expression, for the header.
    pub mask_words: String,
    /// Launches before the last one.
    #[serde(skip)]
    pub steps: Vec<Step>,
    /// Workspaces of order maps.
    #[serde(skip)]
    pub cuts: Vec<Buffer>,
}

/// Lowers mask and score; `scored`: the logit is what a score says even if the strategy has none.
pub(crate) fn token_rules(strategy: &Strategy, scored: bool) -> TokenRules {
    let mut rules = TokenRules::default();
    let exact = Lowering::new(strategy, Level::Tokens, BatchPlace::Tile);
    if let Some(TokenRule { value, .. }) = &strategy.mask {
        rules.mask_divides = value.any(divides);
        let test = exact.expr(value);
        rules.mask_words = test.to_string();
        (rules.mask_reads_q, rules.mask_reads_kv) = (test.reads("q"), test.reads("kv"));
        let body = [Statement::Return(test)];
        let (parameters, arguments) = signature(&body, &token_words());
        rules.mask_arguments = list(&arguments);
        rules.functions.push_str(&define("Whether the token pair may attend.", "bool mask", &parameters, &body));
    }
    let fast = Lowering { floats: Floats::Fast, ..exact };
    let score = strategy.score.as_ref().map(|rule| fast.expr(&rule.value));
    // A scale that is not positive turns the running maximum round; as a score it is applied before.
    if let Some(value) = score.or_else(|| scored.then(|| name("s"))) {
        rules.score_words = value.to_string();
        (rules.score_reads_q, rules.score_reads_kv) = (value.reads("q"), value.reads("kv"));
        let body = [Statement::Return(value)];
        let (parameters, arguments) = signature(&body, &token_words());
        let logit = name("s").at(name("m")).at(name("n")).at(name("e")).op("*", field("scale"));
        rules.score_arguments = list(&[vec![logit], arguments].concat());
        if !rules.functions.is_empty() {
            rules.functions.push('\n');
        }
        let comment = "The logit of a token pair, from its scaled product s.";
        let parameters = if parameters.is_empty() { "float s".to_owned() } else { format!("float s, {parameters}") };
        rules.functions.push_str(&define(comment, "float score", &parameters, &body));
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

/// Lowers the mask and the rules over blocks of a strategy whose [stages](sparsym_ir::data::stages) are maps, for a kernel of
/// this name.
pub(crate) fn block_rules(strategy: &Strategy, kernel: &str, plan: &SymbolsPlan) -> BlockRules {
    let builder = Builder::new(kernel, plan);
    let blocks = Lowering { builder: Some(&builder), ..Lowering::new(strategy, Level::Blocks, BatchPlace::Own) };
    data::lower(&blocks);
    let (functions, symbols) = symbols::lower(&blocks, plan);
    let tokens = Lowering { level: Level::Tokens, builder: None, ..blocks };
    let [sums_directions, subtracts_center] = data::passes(strategy);
    BlockRules {
        functions,
        symbols,
        sums_directions,
        subtracts_center,
        mask_words: strategy.mask.iter().map(|mask| tokens.expr(&mask.value).to_string()).collect(),
        shared_functions: symbols::range_functions(strategy, &builder),
        steps: builder.steps.take(),
        cuts: builder.cuts.take(),
    }
}

/// Names that the body of a token rule may use.
fn token_words() -> [Word; 4] {
    [
        Word::new("p", "const Params& p"),
        Word::new("tile", "const Tile& tile"),
        Word::new("q", "int q"),
        Word::new("kv", "int kv"),
    ]
}

/// Arguments of a call.
fn list(arguments: &[Cuda]) -> String {
    arguments.iter().map(Cuda::to_string).collect::<Vec<_>>().join(", ")
}
