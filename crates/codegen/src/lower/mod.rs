//! Rules of the IR as CUDA: expressions and token rules, block rules, and the classification of masks. Everything is a tree
//! until it is printed.

mod affine;
mod body;
mod builder;
mod cells;
mod cover;
mod cuda;
mod cuts;
mod data;
mod expr;
mod formula;
mod interval;
mod layout;
mod symbols;

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Type};
use sparsym_ir::strategy::{Strategy, TokenRule};

use serde::Serialize;

pub(crate) use builder::Step;
pub use data::reads_means_alone;
pub(crate) use symbols::SymbolRules;

use body::{Statement, Word, define, signature};
use builder::Builder;
use cuda::{Cuda, field, name};
use expr::{BatchPlace, Floats, Level, Lowering};

use crate::kernel::{Launch, last_launch};
use crate::params::Buffer;
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
    if let Some(value) = score.or_else(|| plan.score.then(|| name("s"))) {
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

fn symbols_rules(strategy: &Strategy, plan: &Plan, rules: &mut Rules) {
    let builder = Builder::new(plan);
    let blocks = Lowering { builder: Some(&builder), ..Lowering::new(strategy, Level::Blocks, BatchPlace::Own) };
    data::lower(&blocks);
    (rules.functions, rules.symbols) = symbols::lower(&blocks, plan);
    let tokens = Lowering { level: Level::Tokens, builder: None, ..blocks };
    rules.mask_words = strategy.mask.iter().map(|mask| tokens.expr(&mask.value).to_string()).collect();
    [rules.sums_directions, rules.subtracts_center] = data::passes(strategy);
    rules.shared_functions = symbols::range_functions(strategy, &builder);
    rules.steps = builder.steps.take();
    rules.cuts = builder.cuts.take();
    let last = if rules.steps.is_empty() { plan.name.clone() } else { format!("{}_rules", plan.name) };
    let before = rules.steps.iter().map(|step| step.launch.clone());
    rules.launches = before.chain([last_launch(plan, last)]).collect();
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
