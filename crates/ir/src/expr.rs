//! Typed expressions of rules.
//!
//! Integers are 32-bit and wrap, as on the device; floats are f32; `/` and `%` of integers truncate towards zero, and
//! the checks refuse a divisor that may be zero. Every node carries its type and its place.

use serde::{Deserialize, Serialize};

use crate::lets::Named;
use crate::span::Span;
use crate::strategy::{InputId, MapId, ParamId, RangeId, TableId};

/// A typed expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Type of its value.
    pub ty: Type,
    /// Where it stands.
    pub span: Span,
}

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// 32-bit integer.
    Int,
    /// f32.
    Float,
    /// Three integers (t, h, w).
    Triple,
    /// One of the names of a table's entries.
    Variant,
}

impl Type {
    /// Name used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "integer",
            Type::Float => "float",
            Type::Triple => "(t, h, w) triple",
            Type::Variant => "name of a table's entry",
        }
    }
}

/// The two variables of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// Query token or block.
    Q,
    /// Key/value token or block.
    Kv,
}

impl Side {
    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            Side::Q => "q",
            Side::Kv => "kv",
        }
    }
}

/// A coordinate of a token or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Coordinate {
    /// Token: position in the whole sequence, as stored. Tokens only.
    Pos,
    /// Block index over the whole sequence. Blocks only.
    Block,
    /// Frame on the grid (`.frame` is the same). Of a token: -1 outside the grid range. Of tokens only.
    T,
    /// Row on the grid; as [`Coordinate::T`].
    H,
    /// Column on the grid; as [`Coordinate::T`].
    W,
    /// The (t, h, w) index of the tile that holds the token or block; a triple. (-1, -1, -1) outside the grid range.
    Tile,
    /// Place in its frame, h · W + w, however the grid is stored; -1 outside the grid range. Tokens only.
    Cell,
    /// Number of tokens of the block: the last one may be short. Blocks only.
    Len,
}

/// A number that is the same for every token of a call (or of a head).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Global {
    /// Step index, from 0. Schedule and block rules.
    Step,
    /// Number of steps of the run.
    Steps,
    /// Steps since the last Update; 0 at an Update step itself when read by block rules.
    SinceUpdate,
    /// Layer index.
    Layer,
    /// Query head index.
    Head,
    /// Number of query heads.
    Heads,
    /// Batch item index.
    Batch,
    /// Head dimension `D`.
    HeadDim,
    /// Tokens of a whole query block.
    BlockQ,
    /// Tokens of a whole kv block.
    BlockKv,
    /// Number of query blocks of the longest item.
    QBlocks,
    /// Number of kv blocks of the longest item.
    KvBlocks,
    /// Frames of the grid.
    GridT,
    /// Rows of a frame of the grid.
    GridH,
    /// Columns of a frame of the grid.
    GridW,
    /// Tokens of a frame of the grid, H · W; the tokens of the range without a known grid.
    FrameLen,
}

impl Global {
    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            Global::Step => "step",
            Global::Steps => "steps",
            Global::SinceUpdate => "since_update",
            Global::Layer => "layer",
            Global::Head => "head",
            Global::Heads => "heads",
            Global::Batch => "batch",
            Global::HeadDim => "D",
            Global::BlockQ => "block_q",
            Global::BlockKv => "block_kv",
            Global::QBlocks => "q_blocks",
            Global::KvBlocks => "kv_blocks",
            Global::GridT => "grid_t",
            Global::GridH => "grid_h",
            Global::GridW => "grid_w",
            Global::FrameLen => "frame_len",
        }
    }
}

/// One operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnaryOp {
    /// `-x` of a number.
    Neg,
    /// `!x` of a bool.
    Not,
    /// Integer to float; inserted by type checking, written `float(x)`.
    ToFloat,
}

/// Two operands of the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names say it
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    And,
    Or,
}

impl BinaryOp {
    /// The language, Rust and CUDA spelling.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Rem => "%",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::And => "&&",
            BinaryOp::Or => "||",
        }
    }
}

/// A named function. Arguments have the type of the result unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Function {
    /// `abs(x)`, integer or float.
    Abs,
    /// `min(a, b)`, integer or float.
    Min,
    /// `max(a, b)`, integer or float.
    Max,
    /// `clamp(x, low, high)` = max(low, min(x, high)): `low` wins when the ends cross.
    Clamp,
    /// `bit_length(x)` of an integer: bits needed for x, 0 for x <= 0.
    BitLength,
    /// `near(a, b, window)` of triples, a bool: Sliding Tile Attention's rule. On each axis of n tiles with window k and
    /// r = k / 2, let c = clamp(a, r, n - 1 - r); near means |c - b| <= r on all three axes.
    /// Arguments: two [`Coordinate::Tile`] triples and the window triple.
    Near,
    /// `floor(x)` of a float, an integer.
    Floor,
    /// `ceil(x)` of a float, an integer.
    Ceil,
    /// `sqrt(x)`, float.
    Sqrt,
    /// `tanh(x)`, float.
    Tanh,
    /// `exp(x)`, float.
    Exp,
    /// `exp2(x)`, float.
    Exp2,
    /// `log(x)`, natural, float.
    Log,
    /// `log2(x)`, float.
    Log2,
}

impl Function {
    /// All functions.
    pub const ALL: [Function; 14] = [
        Function::Abs,
        Function::Min,
        Function::Max,
        Function::Clamp,
        Function::BitLength,
        Function::Near,
        Function::Floor,
        Function::Ceil,
        Function::Sqrt,
        Function::Tanh,
        Function::Exp,
        Function::Exp2,
        Function::Log,
        Function::Log2,
    ];

    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            Function::Abs => "abs",
            Function::Min => "min",
            Function::Max => "max",
            Function::Clamp => "clamp",
            Function::BitLength => "bit_length",
            Function::Near => "near",
            Function::Floor => "floor",
            Function::Ceil => "ceil",
            Function::Sqrt => "sqrt",
            Function::Tanh => "tanh",
            Function::Exp => "exp",
            Function::Exp2 => "exp2",
            Function::Log => "log",
            Function::Log2 => "log2",
        }
    }
}

/// What a reduction or a softmax runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Axis {
    /// Query blocks.
    Q,
    /// Kv blocks.
    Kv,
    /// Query heads.
    Head,
}

impl Axis {
    /// The usual name of a variable that runs over it.
    pub fn name(self) -> &'static str {
        match self {
            Axis::Q => "q",
            Axis::Kv => "kv",
            Axis::Head => "head",
        }
    }
}

impl From<Side> for Axis {
    fn from(side: Side) -> Axis {
        match side {
            Side::Q => Axis::Q,
            Side::Kv => Axis::Kv,
        }
    }
}

/// Which places of its axis a variable takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Within {
    /// All.
    All,
    /// `v in vision`: the blocks that belong to the range, see [`crate::Bound::block_range`].
    Range(RangeId),
    /// `kv in q`: the kv blocks inside the present query block. Needs `block_q` to be a multiple of `block_kv`.
    QueryBlock,
}

/// A variable of a reduction or softmax: `v in vision`, `kv where kv.block <= q.block`.
///
/// It takes the place of the variable of its axis: inside, [`Side::Q`] (or `Kv`, or the head) is this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// What it runs over.
    pub axis: Axis,
    /// The places that it takes.
    pub within: Within,
    /// Of those, the ones for which this bool holds; None: all.
    pub visible: Option<Expr>,
}

/// How a reduction makes one float of many. Over no place at all `sum` and `mean` are 0, `max` is -∞ and `min` is +∞.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names say it
pub enum Reduction {
    Sum,
    Mean,
    Max,
    Min,
}

impl Reduction {
    /// All reductions.
    pub const ALL: [Reduction; 4] = [Reduction::Sum, Reduction::Mean, Reduction::Max, Reduction::Min];

    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
            Reduction::Max => "max",
            Reduction::Min => "min",
        }
    }
}

/// `softmax(kv in vision: s[q, kv] weight kv.len)`: w·eˣ / Σ w·eˣ over the places that the variable takes, at the present
/// place of its axis. 0 at a place that the variable does not take, and everywhere if it takes none or if every x is -∞.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Softmax {
    /// The variable that is summed over.
    pub over: Running,
    /// Factor of each place, a float; None: 1.
    pub weight: Option<Expr>,
    /// x, a float.
    pub value: Expr,
}

/// `blocksum(softmax(kv: antidiag(Q, K, 8) / (8 * sqrt(D)) where kv.block <= q.block))`: XAttention's block score.
///
/// Tokens form groups of `stride`, also across blocks of both sides alike; `logit` and `visible` speak of groups: there
/// [`Coordinate::Block`] is the index of a group, and [`ExprKind::Antidiag`] is Σ_a Q[i·s + s-1-a] · K[j·s + a] over
/// a < s. Tokens past the end of a sequence count as zeros; kv groups that hold none take no part, query groups that hold
/// none give nothing. The softmax runs over the kv groups of a row, and the score of a block pair is the sum over its
/// groups. Blocks must be multiples of the stride.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockSum {
    /// Tokens of a group; an integer without variables.
    pub stride: Expr,
    /// Float for a pair of groups.
    pub logit: Expr,
    /// Which kv groups a query group sees; None: all.
    pub visible: Option<Expr>,
}

/// What an order map says of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// Number of elements before it, an integer.
    Rank,
    /// Sum of the values up to and including it, a float.
    Mass,
    /// Sum of the values before it, a float.
    MassBefore,
}

/// Among which elements an order map counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Line {
    /// Those of the rule's last variable: of a rule over (q, kv) the kv blocks of one query block, of a rule over q the
    /// query blocks.
    Row,
    /// All those of the rule for one head.
    Head,
}

/// `ascending_mass(x)`, `descending_rank(x per head, first: kv.block == 0)`: an order map. It runs over the blocks that the
/// rule's variables take. Elements of equal value stand in order of their index (q first, then kv); NaN stands last in
/// either direction and has no mass.
///
/// It stands on one side of a comparison, and the other side is the same for all of its line: so a device can find where
/// the line is cut, and need not sort it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What is said of an element.
    pub measure: Measure,
    /// Largest first.
    pub descending: bool,
    /// Among which elements.
    pub line: Line,
    /// Elements for which this bool holds stand before all others.
    pub first: Option<Expr>,
    /// The values, floats.
    pub value: Expr,
}

impl Order {
    /// The language spelling, `descending_mass_before`.
    pub fn name(&self) -> String {
        let direction = if self.descending { "descending" } else { "ascending" };
        let measure = match self.measure {
            Measure::Rank => "rank",
            Measure::Mass => "mass",
            Measure::MassBefore => "mass_before",
        };
        format!("{direction}_{measure}")
    }
}

/// `percentile(x per head, 0.9)`: of the n values of the line the ⌊p·n⌋-th smallest, but at least the first; the same for
/// all of the line. NaN stands last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// Among which elements.
    pub line: Line,
    /// The values, floats.
    pub value: Expr,
    /// p in 0..=1, without variables.
    pub share: Expr,
}

/// From token pairs to a block pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CoverRule {
    /// Some token pair of the block pair.
    Any,
    /// Every token pair.
    All,
    /// `fraction(least, share)`. The density of a kv token is the number of query tokens that it is paired with, divided
    /// by the size of a whole query block. Of the kv tokens with a density above 0, more than `share` have one above
    /// `least`. False if there are none.
    Fraction {
        /// Least density, exclusive, a float.
        least: Expr,
        /// Least share of such tokens, exclusive, a float.
        share: Expr,
    },
}

/// `cover(any: abs(q.pos - kv.pos) <= 64)`: a token rule judged for a whole block pair. Inside `q` and `kv` are tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cover {
    /// How token pairs decide.
    pub rule: CoverRule,
    /// Judge the token pairs of each pair of frames apart, and take the block pair if one of them says so. Tokens outside
    /// the grid form one more frame.
    pub per_frame: bool,
    /// Bool over token pairs.
    pub mask: Expr,
}

/// A symbol, for `density(…)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SymbolKind {
    /// S_c.
    Cache,
    /// S_s.
    Skip,
}

impl SymbolKind {
    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            SymbolKind::Cache => "cache",
            SymbolKind::Skip => "skip",
        }
    }
}

/// Kinds of expressions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ExprKind {
    /// `true`.
    Bool(bool),
    /// `128`; fits 32 bits.
    Int(i64),
    /// `0.5`; used as f32.
    Float(f64),
    /// `(1, 8, 8)`: three integers.
    Triple(Box<[Expr; 3]>),
    /// A param.
    Param(ParamId),
    /// `step`, `head`, …
    Global(Global),
    /// `q.pos`, `kv.tile`.
    Coordinate(Side, Coordinate),
    /// `q in text`. A block that straddles ranges belongs to the first declared range without a grid that it touches.
    InRange(Side, RangeId),
    /// `document[q]`; tokens only.
    Input(InputId, Side),
    /// A table at the current step, layer and head.
    Table(TableId),
    /// `row(q)`: a value that has a name.
    Let(Named),
    /// The scaled logit, in a `score` rule.
    Logit,
    /// `s[q, kv]`: a map at a place. One variable for each of the map's axes.
    Map(MapId, Vec<Side>),
    /// `pool(Q) . pool(K)` at (q, kv): the dot product, unscaled, of the means over the tokens of the two blocks.
    Dot {
        /// `pool(center(Q))`: the mean over all tokens is subtracted first.
        q_centered: bool,
        /// `pool(center(K))`.
        kv_centered: bool,
    },
    /// `selfsim(Q)` at q or `selfsim(K)` at kv: mean cosine over all pairs of the block's tokens, each with itself too. NaN
    /// if a token is zero.
    SelfSim {
        /// Q at q, or K at kv.
        of: Side,
        /// `selfsim(center(K))`: the mean over all tokens is subtracted first.
        centered: bool,
    },
    /// `antidiag(Q, K, stride)` of a pair of groups; in a [`BlockSum`] only.
    Antidiag,
    /// XAttention's block score at (q, kv).
    BlockSum(Box<BlockSum>),
    /// `sum(t in text: s[t, v])`; a float.
    Reduce(Reduction, Box<Running>, Box<Expr>),
    /// `softmax(kv: s[q, kv])`; a float.
    Softmax(Box<Softmax>),
    /// `ascending_mass(x)`; in conditions of block rules only.
    Order(Box<Order>),
    /// `percentile(x, p)`; in conditions of block rules only.
    Percentile(Box<Percentile>),
    /// `cover(any: …)`; in conditions of block rules only.
    Cover(Box<Cover>),
    /// `density(cache)`: share of ones; in `degrade` only.
    Density(SymbolKind),
    /// The name of an entry of a table with names, by its number.
    Variant(TableId, usize),
    /// Operator with one operand.
    Unary(UnaryOp, Box<Expr>),
    /// Operator with two operands.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// Function call.
    Call(Function, Vec<Expr>),
}

impl Expr {
    /// Calls `visit` on this expression and on all below it, parents first.
    pub fn walk(&self, visit: &mut impl FnMut(&Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// The direct operands, left to right.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Let(named) => vec![&named.value],
            ExprKind::Unary(_, a) => vec![a],
            ExprKind::Binary(_, a, b) => vec![a, b],
            ExprKind::Call(_, args) => args.iter().collect(),
            ExprKind::Triple(parts) => parts.iter().collect(),
            ExprKind::BlockSum(sum) => [&sum.stride, &sum.logit].into_iter().chain(&sum.visible).collect(),
            ExprKind::Reduce(_, running, value) => running.visible.iter().chain([&**value]).collect(),
            ExprKind::Softmax(softmax) => {
                softmax.over.visible.iter().chain(&softmax.weight).chain([&softmax.value]).collect()
            }
            ExprKind::Order(order) => order.first.iter().chain([&order.value]).collect(),
            ExprKind::Percentile(percentile) => vec![&percentile.value, &percentile.share],
            ExprKind::Cover(cover) => match &cover.rule {
                CoverRule::Fraction { least, share } => vec![least, share, &cover.mask],
                CoverRule::Any | CoverRule::All => vec![&cover.mask],
            },
            _ => Vec::new(),
        }
    }

    /// The direct operands, left to right; not what a name stands for, which all that read it share.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            ExprKind::Unary(_, a) => vec![a],
            ExprKind::Binary(_, a, b) => vec![a, b],
            ExprKind::Call(_, args) => args.iter_mut().collect(),
            ExprKind::Triple(parts) => parts.iter_mut().collect(),
            ExprKind::BlockSum(sum) => [&mut sum.stride, &mut sum.logit].into_iter().chain(&mut sum.visible).collect(),
            ExprKind::Reduce(_, running, value) => running.visible.iter_mut().chain([&mut **value]).collect(),
            ExprKind::Softmax(softmax) => {
                softmax.over.visible.iter_mut().chain(&mut softmax.weight).chain([&mut softmax.value]).collect()
            }
            ExprKind::Order(order) => order.first.iter_mut().chain([&mut order.value]).collect(),
            ExprKind::Percentile(percentile) => vec![&mut percentile.value, &mut percentile.share],
            ExprKind::Cover(cover) => match &mut cover.rule {
                CoverRule::Fraction { least, share } => vec![least, share, &mut cover.mask],
                CoverRule::Any | CoverRule::All => vec![&mut cover.mask],
            },
            _ => Vec::new(),
        }
    }

    /// The same expression without places: what it means, for comparisons.
    pub fn without_spans(&self) -> Expr {
        let mut bare = Expr { span: Span::default(), ..self.clone() };
        if let ExprKind::Let(named) = &mut bare.kind {
            named.value = named.value.without_spans().into();
        }
        for child in bare.children_mut() {
            *child = child.without_spans();
        }
        bare
    }

    /// Which variables the value depends on, (q, kv), as far as they are not bound inside it.
    pub fn free_sides(&self) -> [bool; 2] {
        let mut free = [false; 2];
        let mut read = |side: Side| free[side as usize] = true;
        match &self.kind {
            ExprKind::Coordinate(side, _) | ExprKind::InRange(side, _) | ExprKind::Input(_, side) => read(*side),
            ExprKind::SelfSim { of, .. } => read(*of),
            ExprKind::Map(_, sides) => sides.iter().for_each(|&side| read(side)),
            // The variables of what these hold are their own: groups and tokens of the two blocks.
            ExprKind::Dot { .. } | ExprKind::BlockSum(_) | ExprKind::Cover(_) => return [true; 2],
            _ => {}
        }
        for child in self.children() {
            let of = child.free_sides();
            free = [free[0] || of[0], free[1] || of[1]];
        }
        let bound = match &self.kind {
            ExprKind::Reduce(_, running, _) => Some((&**running, false)),
            ExprKind::Softmax(softmax) => Some((&softmax.over, true)),
            _ => None,
        };
        if let Some((running, at_its_place)) = bound {
            match running.axis {
                Axis::Q => free[0] = at_its_place,
                Axis::Kv => free[1] = at_its_place,
                Axis::Head => {}
            }
            free[0] |= running.within == Within::QueryBlock;
        }
        free
    }

    /// Whether any node satisfies `test`.
    pub fn any(&self, mut test: impl FnMut(&Expr) -> bool) -> bool {
        let mut found = false;
        self.walk(&mut |e| found |= test(e));
        found
    }

    /// Whether the value depends on the query or kv variable.
    pub fn reads_tokens(&self) -> bool {
        self.any(|e| matches!(e.kind, ExprKind::Coordinate(..) | ExprKind::InRange(..) | ExprKind::Input(..)))
    }

    /// Whether the value depends on Q or K, directly or through a map.
    pub fn reads_data(&self) -> bool {
        self.any(|e| {
            matches!(
                e.kind,
                ExprKind::Map(..) | ExprKind::Dot { .. } | ExprKind::SelfSim { .. } | ExprKind::BlockSum(_)
            )
        })
    }
}
