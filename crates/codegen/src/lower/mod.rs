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
mod launches;
mod layout;
mod lets;
mod locals;
mod symbols;
mod work;

use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Type};
use sparsym_ir::strategy::{Strategy, TokenRule};
use sparsym_ir::{Expr, Span};

use minijinja::Value;
use serde::Serialize;

pub use data::reads_means_alone;
pub(crate) use symbols::SymbolRules;
pub(crate) use work::LANES_OF_CTA;

use body::Word;
use cuda::{Cuda, field, name};
use expr::{BatchPlace, Floats, Level, Lowering};
use functions::Builder;
use lets::Spelling;
use work::Work;

use crate::kernel::{Part, Step};
use crate::params::Buffer;
use crate::plan::SymbolsPlan;
use crate::text::ROWS;

/// Rules over tokens as CUDA functions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TokenRules {
    /// Their definitions.
    #[serde(skip)]
    pub functions: String,
    /// How `mask` is called.
    pub mask: TokenCalls,
    /// How `score` is called.
    pub score: TokenCalls,
    /// Whether `mask` divides by what only a call knows, as coordinates of a grid are made.
    pub mask_divides: bool,
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
    /// Rows of symbols, if each row decides for itself: the launch that makes them is still to come.
    #[serde(skip)]
    pub rows: Option<Part>,
    /// What the symbols room puts where.
    pub symbols: SymbolRules,
    /// Whether passes over tokens sum directions.
    pub sums_directions: bool,
    /// Whether one of them takes the mean of all tokens away.
    pub subtracts_center: bool,
    /// The mask's expression, for the header.
    pub mask_words: String,
    /// Launches, all of them or those before the one that makes the rows.
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
        value.walk_pair(&mut |e| rules.mask_divides |= divides(e));
        rules.mask_words = words_of_header(&exact.expr(value));
        rules.mask = TokenCalls::add(&exact, value, &MASK, &mut rules.functions);
    }
    let fast = Lowering { floats: Floats::Fast, ..exact };
    let logit = Expr { kind: ExprKind::Logit, ty: Type::Float, span: Span::default() };
    // A scale that is not positive turns the running maximum round; as a score it is applied before.
    let score = strategy.score.as_ref().map(|rule| &rule.value).or_else(|| scored.then_some(&logit));
    if let Some(value) = score {
        rules.score_words = words_of_header(&fast.expr(value));
        rules.score = TokenCalls::add(&fast, value, &SCORE, &mut rules.functions);
    }
    rules
}

const MASK: Spelling = Spelling {
    function: "mask",
    kind: "bool",
    comment: "Whether the token pair may attend.",
    row: "MaskRow",
    row_parameter: "const MaskRow& row",
};

const SCORE: Spelling = Spelling {
    function: "score",
    kind: "float",
    comment: "The logit of a token pair, from its scaled product s.",
    row: "ScoreRow",
    row_parameter: "const ScoreRow& row",
};

/// How a template calls the functions of a token rule.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TokenCalls {
    /// For a token pair.
    pub pair: String,
    /// For what is kept of a query token; empty if nothing is.
    pub row: String,
    /// Whether the call for a pair reads the query token.
    pub reads_q: bool,
    /// Whether it reads the kv token.
    pub reads_kv: bool,
}

impl TokenCalls {
    fn add(lowering: &Lowering, value: &Expr, spelling: &Spelling, functions: &mut String) -> TokenCalls {
        if !functions.is_empty() {
            functions.push('\n');
        }
        let rule = lets::token_rule(lowering, value, spelling, &token_words());
        functions.push_str(&rule.text);
        let row = rule.row_call.map_or(String::new(), |call| call.to_string());
        TokenCalls { pair: rule.call.to_string(), row, reads_q: rule.reads_q, reads_kv: rule.reads_kv }
    }
}

/// An expression behind the word of its line in a header, which is a comment; a long one only as it begins, for it stands
/// below.
fn words_of_header(value: &Cuda) -> String {
    const INDENT: usize = 14;
    const MOST_LINES: usize = 3;
    let text = value.filled().lines(INDENT);
    let mut lines: Vec<String> = text.lines().map(|line| format!("// {}", &line["// ".len()..])).collect();
    lines[0] = lines[0][INDENT..].to_owned();
    if lines.len() > MOST_LINES {
        lines.truncate(MOST_LINES - 1);
        lines.push(format!("//{:1$}…", "", INDENT - "//".len()));
    }
    lines.join("\n")
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
    let rows = Part { template: &ROWS, functions, values: Value::UNDEFINED };
    let mut steps = builder.steps.take();
    let works = builder.works.take();
    let apart = works.iter().all(Work::is_apart);
    if !apart {
        let (mut parts, launches) = launches::launches(&builder, works);
        parts.push(rows.clone());
        let first = steps.len();
        steps.extend(launches);
        steps[first].before = parts;
        if plan.overlaps {
            launches::overlap(&mut steps);
        }
    }
    let tokens = Lowering { level: Level::Tokens, builder: None, ..blocks };
    let [sums_directions, subtracts_center] = data::passes(strategy);
    BlockRules {
        rows: apart.then_some(rows),
        symbols,
        sums_directions,
        subtracts_center,
        mask_words: strategy.mask.iter().map(|mask| words_of_header(&tokens.expr(&mask.value))).collect(),
        shared_functions: symbols::range_functions(strategy, &builder),
        steps,
        cuts: builder.cuts.take(),
    }
}

/// Names that a token rule may use.
fn token_words() -> [Word; 5] {
    let logit = name("s").op("*", field("scale"));
    [
        Word::new("s", "float s").from(logit),
        Word::new("p", "const Params& p"),
        Word::new("tile", "const Tile& tile"),
        Word::new("q", "int q"),
        Word::new("kv", "int kv"),
    ]
}
