//! The registry of findings. `docs/errors.md` is generated from it, and every code has a test.

/// Stage at which a kind of mistake is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// S1xx: the text is not a strategy.
    Syntax,
    /// S2xx: names, types, granularity.
    Meaning,
    /// S3xx: rules that are dead, shadowed or contradictory.
    Rules,
    /// S4xx: schedule and reuse.
    Schedule,
    /// S5xx: shapes and values of a call.
    Shape,
    /// S6xx: what a GPU target can hold.
    Target,
}

/// What a finding means for the strategy that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// There is no strategy until it is corrected.
    Error,
    /// The strategy does what it says; its author may have meant more.
    Warning,
}

macro_rules! codes {
    ($($family:ident { $($name:ident = $id:literal, $title:literal, $text:literal;)* })*) => {
        /// A kind of mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $title] $name,)*)*
        }

        impl Code {
            /// All codes in order.
            pub const ALL: &[Code] = &[$($(Code::$name,)*)*];

            /// The stable identifier, for instance `S301`.
            pub fn id(self) -> &'static str {
                match self { $($(Code::$name => $id,)*)* }
            }

            /// A few words that name the mistake.
            pub fn title(self) -> &'static str {
                match self { $($(Code::$name => $title,)*)* }
            }

            /// A paragraph for the manual: what it means and what to do.
            pub fn explanation(self) -> &'static str {
                match self { $($(Code::$name => $text,)*)* }
            }

            /// The stage that finds it.
            pub fn family(self) -> Family {
                match self { $($(Code::$name => Family::$family,)*)* }
            }
        }
    };
}

codes! {
    Syntax {
        Unreadable = "S101", "text that is not made of tokens",
            "Brackets must be closed, and every character must belong to a name, a number, an operator or a comment.";
        UnexpectedToken = "S102", "unexpected token",
            "The grammar asks for something else here. The message says what was expected and what was found; docs/language.md has the form of every clause.";
        UnknownClause = "S103", "no such clause",
            "Every clause of a strategy starts with one of the language's words, for instance `param`, `mask` or `skip`.";
        BadLiteral = "S104", "literal that cannot be used",
            "Integers fit 32 bits, floats are finite in f32, literals have no suffix, and block sizes and tiles have legal values of their own.";
        MisplacedDoc = "S105", "doc comment or attribute in the wrong place",
            "A strategy, its params, tables and inputs have documentation; other clauses take ordinary `//` comments. Attributes are not part of the language.";
        TooLarge = "S106", "expression that is too large",
            "An expression nests at most 100 levels and has at most 4096 operands, `let` names counted with all that they stand for, so that no strategy can exhaust the compiler.";
        NotYet = "S107", "form of a later version",
            "Attention rows of sampled queries (`probe`, `colsum`, `diagsum`) and clusters of tokens (`kmeans`) are not in this version; their words are reserved. All places are reported by one finding.";
    }
    Meaning {
        UndefinedName = "S201", "name that is not defined",
            "Params, tables, inputs, token ranges and `let` names are declared before they are read; variables are those that the rule names; coordinates and functions are those of the language.";
        DuplicateName = "S202", "name declared twice",
            "Params, tables, inputs, token ranges, `let` names and the variables of a rule or map share one namespace. The names of a table's entries are its own, each once.";
        ReservedName = "S203", "name that the language uses",
            "Names of the language (`step`, `head`, `abs`, `q`, …) and Rust's keywords cannot be declared.";
        UnusedName = "S204", "declared but never read",
            "A warning: a declaration that nothing reads usually means that a rule was forgotten. It changes nothing, so a rule can be commented out and its params stay. Token ranges count as read when any one of them is.";
        TypeMismatch = "S205", "types that do not fit",
            "Values are bool, integer, float, (t, h, w) triple or the name of a table's entry. An integer that meets a float becomes a float, and so does one divided by `steps`; nothing else is converted silently.";
        ArgumentCount = "S206", "wrong number of arguments",
            "Each function takes a fixed number of arguments.";
        Granularity = "S207", "tokens and blocks mixed",
            "`mask` and `score` speak of tokens; `skip`, `keep`, `cache` and `compute` speak of blocks. `.pos`, `.t`, `.h`, `.w`, `.cell` and inputs belong to tokens, `.block` and `.len` to blocks, `.tile` and `in` to both. Inside `cover` variables are tokens; inside `blocksum` they are groups of tokens, which have only `.block`.";
        NoGrid = "S208", "grid coordinate without a grid",
            "`.t .h .w .frame .cell` and `per frame` need a range declared as a grid, `vision(t, h, w)`; `.tile` needs it to be `tiled`.";
        SecondGrid = "S209", "two grids in one strategy",
            "Grid coordinates belong to the one range that is a grid.";
        ZeroDivisor = "S210", "divisor that may be zero",
            "The divisor of an integer `/` or `%` must be provably different from zero: a literal, a param whose range excludes 0, `heads`, `D`, or an expression such as `max(x, 1)`. So must the stride of an `antidiag`.";
        DuplicateClause = "S211", "clause given twice",
            "A strategy has at most one `mask`, one `score`, one `tokens`, one `blocks`, one `permute`, one `update when`, one `dense when` and one `degrade when`.";
        WrongPlace = "S212", "value that is not known here",
            "The schedule is decided on the host for all heads and batch items at once, and `update` for all layers; a forecast order comes from params; a `let` has no variables unless they are written; the logit exists in `score` only, a density in `degrade when` only; shares and strides are the same for all blocks.";
        MapAxis = "S213", "map read on the wrong axis",
            "A map is over query blocks, over kv blocks, or over both in this order, and is read at variables of the same axes: `s[q, kv]`. Only a map over one variable that is called neither q nor kv can be read at either, because query and kv blocks are then of one size. Parts of a map without variables are all over the same blocks.";
        DataPlace = "S214", "tensor data where there is none",
            "Maps, `pool`, `selfsim`, `blocksum`, sums over blocks and order maps are made from Q and K for blocks. Token rules, `cover` and the schedule cannot read them.";
        WholeMap = "S215", "map that is not read at blocks",
            "In rules and in maps with variables a map stands with the blocks at which it is read: `s[q, kv]`. Bare names stand only in maps without variables, where whole maps are combined.";
        TensorForm = "S216", "tensors used in a way that does not exist",
            "Q and K are read by `pool(Q) . pool(K)`, `selfsim(Q)`, `selfsim(K)` and `blocksum(softmax(kv: antidiag(Q, K, stride) …))`, and each may be `center(…)` in the first two. V and anything else made from them is not a value.";
        TwoVariables = "S217", "two variables of one axis",
            "A function that runs over blocks gives its variable the place of the one outside, so only one variable of query blocks and one of kv blocks can be read at a time. A softmax gives the value at the present block, so its variable is the one in scope.";
        UnknownAxis = "S218", "variable whose axis or place cannot be told",
            "`q` runs over query blocks, `kv` over kv blocks, `head` over heads; any other variable over the axis of the map that it first indexes. A softmax needs a present block of its axis, and a map depends on blocks.";
        OrderPlace = "S219", "order map in the wrong place",
            "An order map such as `ascending_mass(x)` is one side of `<`, `<=`, `>` or `>=` in the condition of a block rule, and the other side is the same for the whole line along which it counts. So a device finds where the line is cut, and does not sort. `at least n` stands after such a comparison. Percentiles and covers also stand in conditions of block rules.";
        OrderLine = "S220", "order of values that do not change",
            "An order map counts along the last variable of its rule: of a rule over (q, kv) the kv blocks of each query block, of a rule over q the query blocks, and with `per head` all of them. Values that are the same there have no order.";
        MassAxis = "S221", "mass of values that are normalised over another axis",
            "A softmax adds up to 1 over its own variable. A share of its mass along another one has no fixed meaning; compare it with a sum of the same values instead.";
        UnknownVariant = "S222", "no such entry of a table",
            "A table `of { full, arrow }` is compared by `==` or `!=` with one of its own names.";
        Share = "S223", "share outside 0..=1",
            "The share of a percentile and the two numbers of a fraction lie between 0 and 1.";
        WrongPermute = "S224", "permutation that cannot be used",
            "`permute vision by tile` needs a tiled grid; `permute by order` needs an input of u32 that holds the number of the caller's token for each place.";
        TokenValue = "S225", "value over tokens read in another way",
            "`let row(q) = …` is a value of a token, and is read as `row(q)`: in masks, scores and `cover`, at the tokens that it is declared over. `let name = …` without variables is read by its name alone.";
    }
    Rules {
        DeadRule = "S301", "rule that can never fire",
            "For no value of the params and no coordinate can the condition be true.";
        ShadowedRule = "S302", "rule that is wholly overridden",
            "Rules apply top to bottom and the last match wins; a later rule of the same symbol matches wherever this one does.";
        EmptyRange = "S303", "range without a value",
            "The lower end of a range lies above the upper one.";
        DefaultOutOfRange = "S304", "default outside the range",
            "A param's default must satisfy the range that the param declares.";
        NoEffect = "S305", "rule that changes nothing",
            "All symbols start at 1, so `keep` and `compute` matter only after a `skip` or `cache` rule of the same symbol, or before its `otherwise`.";
        UnreachableOtherwise = "S306", "otherwise that nothing reaches",
            "`otherwise` covers the blocks that no other rule of its symbol matched. It stands after them, and some block must be left.";
        AlwaysTrue = "S307", "condition that is always true",
            "The condition holds for every value of the params and every coordinate; leave it out, or correct it.";
    }
    Schedule {
        MissingUpdate = "S401", "caching without an update rule",
            "Without `update when` every step is an Update, so a cached feature is never used.";
        ConstantUpdate = "S402", "update rule that is always or never true",
            "Always true: there is never a Dispatch step. Never true: only step 0 is an Update.";
        ZeroInterval = "S403", "interval that may be zero",
            "`since_update` is at least 1 when the schedule is decided, so it never equals an interval of 0.";
        DenseHidesUpdate = "S404", "dense rule that hides every update",
            "A dense step makes no symbols. If every Update step is also dense, the rules never run.";
        SinceUpdateWithoutUpdate = "S405", "since_update without an update rule",
            "Without `update when` every step is an Update and `since_update` is always 0.";
        ReuseDisagrees = "S406", "cache rules that disagree on reuse",
            "The cache holds one kind of feature, so all `cache` rules of a strategy reuse it in the same way. A rule without `by` holds.";
        UnknownReuse = "S407", "no such reuse operator",
            "A cached block is reused `by hold` or `by taylor(n)`.";
        NonLinearReuse = "S408", "reuse operator that is not linear",
            "GEMM-O forecasts projected features in place of features, which is correct only if the operator commutes with the projection: it must be linear in the cached features.";
        ForecastOrder = "S409", "forecast order outside 0..=3",
            "`taylor(n)` keeps n + 1 features for each cached block; n is at most 3 for every legal value of the params.";
        DegradeWithoutRule = "S410", "degrade without a rule",
            "`degrade when` asks for the density of a symbol. If no rule writes the symbol, it is dense for ever.";
        DegradeCondition = "S411", "degrade without a density",
            "`degrade when` is asked after each Update, and latches. It asks for the density of one symbol, together with params, tables, step and layer.";
    }
    Shape {
        TensorShape = "S501", "tensor of the wrong shape",
            "A tensor's rank or an extent does not fit the problem. Shapes are q and o [B, N, H, D], k and v [B, N_kv, H_kv, D]. No extent is 0, none is above 2^30, and the product of all can be addressed.";
        TensorType = "S502", "tensor of the wrong type",
            "q, k, v and cached features of one call share one float type.";
        HeadGroups = "S503", "heads do not form groups",
            "H must be a multiple of H_kv: each group of H / H_kv query heads shares a kv head.";
        BlockSize = "S504", "block size that cannot be used",
            "Attention is computed in blocks of a positive multiple of 16 tokens, at most 65536; on a GPU a legal tile must divide them. A map over kv blocks that is read at query blocks needs blocks of one size, `kv in q` needs query blocks that are a multiple of kv blocks, and `blocksum` a stride that divides both.";
        TokenLayout = "S505", "token layout does not fit",
            "The named ranges of the strategy must be present in the problem's layout and add up to its tokens; a grid's extents must multiply to the tokens of its range.";
        TileLayout = "S506", "tiles do not fit the grid",
            "A rule over blocks reads tile coordinates, so every block must lie inside one tile: tiles divide the grid, blocks divide a tile, and the range starts on a block boundary.";
        ParamValue = "S507", "param out of range",
            "A param's value lies outside the range that the strategy declares, or is of another type.";
        UnknownName = "S508", "no such param, table or input",
            "The name is not declared by the strategy.";
        TableShape = "S509", "table of the wrong shape",
            "A table needs one extent for each declared axis, and one entry for each combination; triples have a last extent of 3. An extent is 1 for an entry that holds all along its axis, else the number of query heads, of layers, or of steps of the run. Entries are of the declared type: integers below 2^24, finite floats, or names that the table lists.";
        InputShape = "S510", "input of the wrong shape or type",
            "An input needs one value for each batch item and token, in this order: [B, N]. Values are of the declared type: integers below 2^24, 0 and 1 for bool.";
        SymbolShape = "S511", "symbol of the wrong shape",
            "S_c is [B, H, T_q] and S_s is [B, H, T_q, T_kv], with T = ceil(N / block).";
        CacheMissing = "S512", "cached rows without a cache",
            "A forecast needs one feature tensor for each coefficient.";
        SequenceLengths = "S513", "index pointers that do not fit",
            "Ragged batches are given by index pointers that start at 0, never fall and end at the number of tokens.";
        StepOutside = "S514", "step outside the run",
            "A run has at least one step and at most 2^20, which count from 0.";
    }
    Target {
        UnknownTarget = "S601", "unknown GPU target",
            "Kernels are generated for the architectures that `sparsym doctor` lists.";
        NoTile = "S602", "no legal tile",
            "A kernel's tile divides both blocks and fits the shared memory and registers of the target.";
        HeadDimension = "S603", "head dimension without a kernel",
            "Kernels exist for head dimensions 64, 96, 128 and 256. Others can be padded with zeros, if what depends on D stays that of the true one: the scale, `D` in rules, the mean and eps of a normalisation, and which channels a rotary embedding turns together. The help of a finding says how.";
        KernelType = "S604", "type without a kernel",
            "GPU kernels take bf16 and f16; the reference and cpu devices also take f32.";
        RoomNotAvailable = "S605", "room that cannot be generated",
            "Symbols need rules or a mask, and those that compare blocks one length for all batch items.";
    }
}

impl Code {
    /// Whether it keeps the strategy from being used.
    pub fn severity(self) -> Severity {
        match self {
            Code::UnusedName => Severity::Warning,
            _ => Severity::Error,
        }
    }
}
