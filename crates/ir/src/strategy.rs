//! The typed IR of a strategy: declarations, rules, schedule.
//!
//! ```text
//! Strategy ─┬─ params, tables, inputs      what the caller supplies
//!           ├─ tokens, blocks              how the sequence is cut
//!           ├─ lets                        names of values
//!           ├─ maps                        values computed from Q and K at Update steps
//!           ├─ mask, score                 per token, exact
//!           ├─ rules                       per block, top to bottom, the last match wins
//!           └─ schedule                    which steps are Update, which are dense
//! ```

use serde::{Deserialize, Serialize};

use crate::expr::{Expr, Side, SymbolKind, Type};
use crate::lets::Let;
use crate::span::Span;

/// Index of a [`Param`] in [`Strategy::params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ParamId(pub usize);
/// Index of a [`Table`] in [`Strategy::tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId(pub usize);
/// Index of an [`Input`] in [`Strategy::inputs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InputId(pub usize);
/// Index of a [`TokenRange`] in [`Strategy::tokens`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RangeId(pub usize);
/// Index of a [`Map`] in [`Strategy::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MapId(pub usize);

/// A strategy: declarative rules over the cache symbol S_c and the skip symbol S_s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")] // what is read as data is linked, see `lets`
pub struct Strategy {
    /// Type name as written, `UpperCamelCase`.
    pub name: String,
    /// Doc comment, lines joined by `\n`, without markers.
    pub doc: String,
    /// Tunable numbers; kernel arguments, so changing one never recompiles.
    pub params: Vec<Param>,
    /// Numbers per step, layer or head.
    pub tables: Vec<Table>,
    /// Numbers per token, supplied with each call.
    pub inputs: Vec<Input>,
    /// Named parts of the sequence in sequence order. Empty means one unnamed range.
    pub tokens: Vec<TokenRange>,
    /// Default block sizes.
    pub blocks: Blocks,
    /// How the caller's order of tokens becomes the order in which they are stored. None: they are the same.
    pub permute: Option<Permute>,
    /// Names of values without variables and over tokens.
    #[serde(default)]
    pub lets: Vec<Let>,
    /// Values computed from Q and K at Update steps; a map reads only maps before it.
    pub maps: Vec<Map>,
    /// Which token pairs may attend. None: all.
    pub mask: Option<TokenRule>,
    /// Replacement of the scaled logit. None: the logit itself.
    pub score: Option<TokenRule>,
    /// Block rules in source order.
    pub rules: Vec<BlockRule>,
    /// Which steps do what.
    pub schedule: Schedule,
    /// The whole item.
    pub span: Span,
}

/// Type of a param or of an element of a table or input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scalar {
    /// Unsigned integer, at most 2^31 - 1 so that it fits the language's 32-bit integers.
    U32,
    /// Signed 32-bit integer.
    I32,
    /// 32-bit float.
    F32,
    /// `true` or `false`.
    Bool,
}

impl Scalar {
    /// The Rust and language spelling.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::U32 => "u32",
            Scalar::I32 => "i32",
            Scalar::F32 => "f32",
            Scalar::Bool => "bool",
        }
    }

    /// Type of an expression that reads a value of this kind.
    pub fn ty(self) -> Type {
        match self {
            Scalar::U32 | Scalar::I32 => Type::Int,
            Scalar::F32 => Type::Float,
            Scalar::Bool => Type::Bool,
        }
    }
}

/// A literal value of a param: default or end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Of a `bool` param.
    Bool(bool),
    /// Of a `u32` or `i32` param.
    Int(i64),
    /// Of an `f32` param.
    Float(f64),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(v) => write!(f, "{v}"),
            Value::Int(v) => write!(f, "{v}"),
            Value::Float(v) => write!(f, "{v:?}"),
        }
    }
}

/// `param reach: u32 in 1.. = 1024;`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Field name.
    pub name: String,
    /// Doc comment.
    pub doc: String,
    /// Type of the field.
    pub scalar: Scalar,
    /// Smallest legal value, inclusive.
    pub min: Option<Value>,
    /// Largest legal value, inclusive (`..end` in source is stored as `end - 1` for integers).
    pub max: Option<Value>,
    /// Value used by `Default`.
    pub default: Value,
    /// The declaration.
    pub span: Span,
}

/// An axis of a table, in the order step, layer, head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableAxis {
    /// Denoising step.
    Step,
    /// Layer of the model.
    Layer,
    /// Query head.
    Head,
}

impl TableAxis {
    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            TableAxis::Step => "step",
            TableAxis::Layer => "layer",
            TableAxis::Head => "head",
        }
    }
}

/// Element of a table: one number or a triple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// One number.
    One(Scalar),
    /// Three numbers of the same type, for (t, h, w).
    Three(Scalar),
}

/// `table window: [step, layer, head] of (u32, u32, u32);`
///
/// An index beyond the end of an axis reads the last entry, so a table of length 1 along an axis is a constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Name.
    pub name: String,
    /// Doc comment.
    pub doc: String,
    /// Axes, outermost first; at least one.
    pub axes: Vec<TableAxis>,
    /// What an entry holds.
    pub element: Element,
    /// `of { full, arrow, reuse }`: names of the values 0, 1, … of an entry, whose element is then `One(U32)`. Empty: the
    /// entries are numbers.
    pub variants: Vec<String>,
    /// The declaration.
    pub span: Span,
}

/// `input document: [token] of i32;` One value for each batch item and token, shape `[B, N]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Name.
    pub name: String,
    /// Doc comment.
    pub doc: String,
    /// Type of an entry.
    pub scalar: Scalar,
    /// The declaration.
    pub span: Span,
}

/// A named part of the sequence: `text`, or `vision(t, h, w) tiled (6, 8, 8)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRange {
    /// Name.
    pub name: String,
    /// Whether the range is a (t, h, w) grid, and how its tokens are stored.
    pub grid: Option<Grid>,
    /// The declaration.
    pub span: Span,
}

/// Order in which the tokens of a grid are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Grid {
    /// t, then h, then w fastest.
    Raster,
    /// Tile by tile in raster order of tiles, and raster order inside each tile of this (t, h, w) shape.
    Tiled([u32; 3]),
}

/// `blocks q = 128, kv = 128;`: unit of a sparsity decision, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Blocks {
    /// Tokens of a query block.
    pub q: u32,
    /// Tokens of a kv block.
    pub kv: u32,
}

impl Default for Blocks {
    fn default() -> Self {
        Blocks { q: 128, kv: 128 }
    }
}

/// A permutation of tokens before attention, inverted on its output. Positions, blocks and tiles of rules are those after
/// it; the caller sees its own order throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Permute {
    /// `permute vision by tile;`: the caller stores the range, a tiled grid, in raster order.
    Tiles(RangeId),
    /// `permute by order;`: token i of the new order is token `order[i]` of the caller's, in each batch item.
    Index(InputId),
}

/// `let s = pool(Q) . pool(K) / sqrt(D);`: a value over blocks computed from tensor data, f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// Name.
    pub name: String,
    /// What it is a function of: query blocks, kv blocks, or both in this order.
    pub axes: Vec<MapAxis>,
    /// Its value at those blocks, a float.
    pub value: Expr,
    /// The declaration.
    pub span: Span,
}

/// An axis of a map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapAxis {
    /// The variable as written. A map over one variable that is called neither q nor kv may be read at blocks of either
    /// side, which needs blocks of one size.
    pub variable: String,
    /// The side that the variable stands for inside the map.
    pub side: Side,
    /// `v in vision`: outside the range the map is 0.
    pub range: Option<RangeId>,
}

/// `mask q, kv => …` or `score s, q, kv => …`: an expression over one token pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRule {
    /// Bool for a mask, Float for a score.
    pub value: Expr,
    /// The rule.
    pub span: Span,
}

/// What a block rule writes into a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// S_s = 0.
    Skip,
    /// S_s = 1.
    Keep,
    /// S_c = 0.
    Cache,
    /// S_c = 1.
    Compute,
}

impl Action {
    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            Action::Skip => "skip",
            Action::Keep => "keep",
            Action::Cache => "cache",
            Action::Compute => "compute",
        }
    }

    /// The bit that the action writes: 1 = do the work.
    pub fn bit(self) -> bool {
        matches!(self, Action::Keep | Action::Compute)
    }

    /// Whether the action writes S_s (a rule over q and kv) rather than S_c (a rule over q).
    pub fn writes_skip_symbol(self) -> bool {
        matches!(self, Action::Skip | Action::Keep)
    }
}

/// `cache q in vision where …`, `keep q, kv where …`, `otherwise skip`.
///
/// Rules apply top to bottom and a later match overrides an earlier one; all symbols start at 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockRule {
    /// What a match writes.
    pub action: Action,
    /// Which blocks it looks at.
    pub when: When,
    /// How a cached block gets its value; of a `cache` rule only.
    pub reuse: Option<Reuse>,
    /// The rule.
    pub span: Span,
}

/// The blocks that a rule matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum When {
    /// Blocks inside the named ranges for which the condition holds.
    Match {
        /// `q in vision`; None: all query blocks.
        q: Option<RangeId>,
        /// `kv in text`; None: all kv blocks. Always None for `cache` and `compute`.
        kv: Option<RangeId>,
        /// Bool over blocks; None: always.
        condition: Option<Expr>,
    },
    /// Blocks (of this symbol) that no other rule matched.
    Otherwise,
}

/// Highest order of a forecast.
pub const MOST_ORDER: usize = 3;
/// Terms of the longest forecast: the feature itself, and its differences.
pub const MOST_TERMS: usize = MOST_ORDER + 1;

/// How a cached feature becomes today's output. Linear in the features by law, so that projected features may be
/// forecast in place of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reuse {
    /// `by hold`: the last Update step's feature; Taylor of order 0.
    Hold,
    /// `by taylor(n)`: finite differences over the last Update steps, order at most n.
    Taylor(Expr),
}

/// When the symbols are refreshed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// `update when …`; None: every step. Step 0 is always Update.
    pub update: Option<Expr>,
    /// `dense when …`: full attention, no symbols.
    pub dense: Option<Expr>,
    /// `degrade when …`: asked after each Update; from then on the layer reuses its whole output, of order 0, at every
    /// Dispatch step.
    pub degrade: Option<Expr>,
}

impl Strategy {
    /// The strategy without rules: everything is computed at every step.
    pub fn dense() -> Strategy {
        Strategy {
            name: "Dense".to_owned(),
            doc: "Everything is computed at every step.".to_owned(),
            params: Vec::new(),
            tables: Vec::new(),
            inputs: Vec::new(),
            tokens: Vec::new(),
            blocks: Blocks::default(),
            permute: None,
            lets: Vec::new(),
            maps: Vec::new(),
            mask: None,
            score: None,
            rules: Vec::new(),
            schedule: Schedule::default(),
            span: Span::default(),
        }
    }

    /// Whether any rule writes S_c.
    pub fn caches(&self) -> bool {
        self.rules.iter().any(|rule| rule.action == Action::Cache)
    }

    /// Whether any rule writes S_s. A mask clears S_s bits too; it is not a rule.
    pub fn skips(&self) -> bool {
        self.rules.iter().any(|rule| rule.action == Action::Skip)
    }

    /// Whether any block rule reads Q or K, so that symbols are made from data.
    pub fn reads_data(&self) -> bool {
        self.conditions().any(Expr::reads_data)
    }

    /// The conditions of block rules.
    pub fn conditions(&self) -> impl Iterator<Item = &Expr> {
        self.rules.iter().filter_map(|rule| match &rule.when {
            When::Match { condition, .. } => condition.as_ref(),
            When::Otherwise => None,
        })
    }

    /// Every expression: of maps, of rules over tokens and over blocks, of orders of forecasts, and of the schedule.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let Schedule { update, dense, degrade } = &self.schedule;
        let orders = self.rules.iter().filter_map(|rule| match &rule.reuse {
            Some(Reuse::Taylor(order)) => Some(order),
            _ => None,
        });
        let maps = self.maps.iter().map(|map| &map.value);
        let tokens = self.mask.iter().chain(&self.score).map(|rule| &rule.value);
        maps.chain(tokens).chain(self.conditions()).chain(orders).chain(update).chain(dense).chain(degrade)
    }

    /// The symbol that `degrade` asks about, if any.
    pub fn degrades(&self) -> Option<SymbolKind> {
        let mut asked = None;
        self.schedule.degrade.iter().for_each(|when| {
            when.walk(&mut |e| {
                if let crate::expr::ExprKind::Density(kind) = e.kind {
                    asked = Some(kind);
                }
            });
        });
        asked
    }

    /// The reuse operator of the `cache` rules; the checks make sure that there is one at most.
    pub fn reuse(&self) -> Option<&Reuse> {
        self.rules.iter().find_map(|rule| rule.reuse.as_ref())
    }

    /// Name for the command line and kernels: `FlashOmni` is `flash_omni`.
    pub fn snake_name(&self) -> String {
        let mut out = String::new();
        let mut after_lower = false;
        for c in self.name.chars() {
            if c.is_ascii_uppercase() && after_lower {
                out.push('_');
            }
            after_lower = !c.is_ascii_uppercase();
            out.push(c.to_ascii_lowercase());
        }
        out
    }
}
