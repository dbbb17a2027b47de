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
pub(crate) static BEFORE_PARAMS: [Template; 2] = templates!["parts/types.cuh", "parts/constants.cuh"];

/// Files of parts that come after it. A part may use only parts of earlier files, or earlier ones of its own.
pub(crate) static AFTER_PARAMS: [Template; 28] = templates![
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
    "parts/quarters.cuh",
    "parts/interval.cuh",
    "parts/floats.cuh",
    "parts/special_values.cuh",
];

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident = $path:literal;)*) => {
        $($(#[$doc])*
        pub(crate) static $name: Template =
            Template { path: $path, text: include_str!(concat!("../templates/", $path)) };)*

        /// The files that are no files of parts.
        pub(crate) static FILES: [&Template; [$($path),*].len()] = [$(&$name),*];
    };
}

files! {
    /// What a file says of itself.
    HEADER = "parts/header.cuh";
    /// Attention for sm_80-class targets.
    ATTENTION = "attention.cu";
    /// Symbols, from what rules say of blocks.
    SYMBOLS = "symbols.cu";
    /// A projection to heads.
    GEMM_Q = "gemm_q.cu";
    /// A projection back to the model width.
    GEMM_O = "gemm_o.cu";
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
