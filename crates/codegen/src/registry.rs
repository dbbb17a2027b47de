//! Every template file, in the order in which its parts appear in a kernel.

/// A file below `templates/`.
#[derive(Debug)]
pub(crate) struct Template {
    /// Path below `templates/`.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! templates {
    ($($path:literal),* $(,)?) => {
        [$(Template { path: $path, text: include_str!(concat!("../templates/", $path)) }),*]
    };
}

/// Files of parts that come before `struct Params`.
pub(crate) const BEFORE_PARAMS: [Template; 2] = templates!["parts/types.cuh", "parts/constants.cuh"];

/// Files of parts that come after it. A part may use only parts of earlier files, or earlier ones of its own.
pub(crate) const AFTER_PARAMS: [Template; 26] = templates![
    "ptx/special_registers.cuh",
    "ptx/convert.cuh",
    "ptx/math.cuh",
    "ptx/shared.cuh",
    "ptx/cp_async.cuh",
    "ptx/ldmatrix.cuh",
    "ptx/mma.cuh",
    "parts/functions.cuh",
    "parts/workspace.cuh",
    "parts/reduce.cuh",
    "parts/order.cuh",
    "parts/swizzle.cuh",
    "parts/lane.cuh",
    "parts/coordinates.cuh",
    "parts/tile.cuh",
    "parts/softmax.cuh",
    "parts/symbol_bits.cuh",
    "parts/projection.cuh",
    "parts/head_walk.cuh",
    "parts/sequence.cuh",
    "parts/span.cuh",
    "parts/cells.cuh",
    "parts/grid_box.cuh",
    "parts/verdict.cuh",
    "parts/interval.cuh",
    "parts/special_values.cuh",
];

/// The room files, and the header.
pub(crate) const HEADER: Template =
    Template { path: "parts/header.cuh", text: include_str!("../templates/parts/header.cuh") };
/// Attention for sm_80-class targets.
pub(crate) const ATTENTION: Template =
    Template { path: "attention.cu", text: include_str!("../templates/attention.cu") };
/// Symbols, from what rules say of blocks.
pub(crate) const SYMBOLS: Template = Template { path: "symbols.cu", text: include_str!("../templates/symbols.cu") };

/// A projection to heads.
pub(crate) const GEMM_Q: Template = Template { path: "gemm_q.cu", text: include_str!("../templates/gemm_q.cu") };
/// A projection back to the model width.
pub(crate) const GEMM_O: Template = Template { path: "gemm_o.cu", text: include_str!("../templates/gemm_o.cu") };

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $path:literal;)*) => {
        $($(#[$doc])*
        pub(crate) static $name: Template =
            Template { path: $path, text: include_str!(concat!("../templates/", $path)) };)*
    };
}

steps! {
    /// Means and self-similarities of blocks.
    POOL = "symbols/pool.cu";
    /// Means of all tokens.
    CENTER = "symbols/center.cu";
    /// Self-similarities of blocks whose tokens are centred.
    SIMILARITY = "symbols/similarity.cu";
    /// Maps with dot products.
    DOT = "symbols/dot.cu";
    /// Softmaxes.
    SOFTMAX = "symbols/softmax.cu";
    /// Block sums of antidiagonal scores.
    BLOCK_SUM = "symbols/block_sum.cu";
    /// Maps that are computed place by place.
    EACH = "symbols/each.cu";
    /// Where the lines of an order map are cut.
    CUT = "symbols/cut.cu";
    /// Which tiles of Q are computed.
    TILES = "gemm_q/tiles.cu";
    /// Differences of outputs.
    DIFFERENCES = "gemm_o/differences.cu";
}
