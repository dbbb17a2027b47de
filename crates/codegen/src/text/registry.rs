//! Every template file, in the order in which its parts appear in a kernel.

use crate::schedule::Schedule;

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
        [$(Template { path: $path, text: include_str!(concat!("../../templates/", $path)) }),*]
    };
}

/// Files of parts that come before `struct Params`.
pub(crate) static BEFORE_PARAMS: [Template; 3] =
    templates!["parts/types.cuh", "parts/constants.cuh", "parts/shared/map.cuh"];

/// Files of parts that come after it. A part may use only parts of earlier files, or earlier ones of its own.
pub(crate) static AFTER_PARAMS: [Template; 60] = templates![
    "ptx/special_registers.cuh",
    "ptx/convert.cuh",
    "ptx/math.cuh",
    "ptx/shared.cuh",
    "ptx/cp_async.cuh",
    "ptx/ldmatrix.cuh",
    "ptx/mma.cuh",
    "ptx/mbarrier.cuh",
    "ptx/bulk_copy.cuh",
    "ptx/fence.cuh",
    "ptx/roles.cuh",
    "ptx/launch.cuh",
    "ptx/wgmma.cuh",
    "ptx/atomic.cuh",
    "parts/rules/functions.cuh",
    "parts/rules/workspace.cuh",
    "parts/rules/order.cuh",
    "parts/rules/reduce.cuh",
    "parts/rules/line.cuh",
    "parts/rules/held.cuh",
    "parts/rules/arrivals.cuh",
    "parts/shared/panel.cuh",
    "parts/portable/lane.cuh",
    "parts/fragments/layout.cuh",
    "parts/rules/coordinates.cuh",
    "parts/walks/tile.cuh",
    "parts/fragments/accumulator.cuh",
    "parts/fragments/softmax.cuh",
    "parts/fragments/set_max.cuh",
    "parts/walks/symbol_bits.cuh",
    "parts/walks/kv_walk.cuh",
    "parts/walks/kv_descent.cuh",
    "parts/specialised/rings.cuh",
    "parts/specialised/panels.cuh",
    "parts/portable/stages.cuh",
    "parts/walks/tile_order.cuh",
    "parts/walks/head_tile.cuh",
    "parts/specialised/pipeline.cuh",
    "parts/specialised/warpgroup_product.cuh",
    "parts/specialised/tickets.cuh",
    "parts/portable/copy_rows.cuh",
    "parts/fragments/product.cuh",
    "parts/portable/warp_product.cuh",
    "parts/fragments/bias.cuh",
    "parts/fragments/normalise.cuh",
    "parts/fragments/rotate.cuh",
    "parts/fragments/out.cuh",
    "parts/fragments/partials.cuh",
    "parts/walks/head_walk.cuh",
    "parts/rules/sequence.cuh",
    "parts/rules/span.cuh",
    "parts/rules/cells.cuh",
    "parts/rules/grid_box.cuh",
    "parts/rules/verdict.cuh",
    "parts/rules/quarters.cuh",
    "parts/rules/interval.cuh",
    "parts/rules/floats.cuh",
    "parts/portable/special_values.cuh",
    "parts/specialised/gaps.cuh",
    "parts/reuse/forecast.cuh",
];

/// Files of parts that call the functions of the rules, and come after them.
pub(crate) static AFTER_RULES: [Template; 3] =
    templates!["parts/fragments/score.cuh", "parts/fragments/mask.cuh", "parts/fragments/tail.cuh"];

/// The files of a room, one for each schedule.
pub(crate) struct Scheduled {
    specialised: Option<&'static Template>,
    portable: &'static Template,
}

impl Scheduled {
    /// The file for a schedule that a plan has chosen, so there is one.
    pub(crate) fn of(&self, schedule: Schedule) -> &'static Template {
        match schedule {
            Schedule::Specialised => self.specialised.expect("a schedule without a file is not chosen"),
            Schedule::Portable => self.portable,
        }
    }
}

/// Attention.
pub(crate) static ATTENTION: Scheduled =
    Scheduled { specialised: Some(&ATTENTION_SPECIALISED), portable: &ATTENTION_PORTABLE };
/// A projection to heads.
pub(crate) static GEMM_Q: Scheduled = Scheduled { specialised: Some(&GEMM_Q_SPECIALISED), portable: &GEMM_Q_PORTABLE };
/// A projection back to the model width.
pub(crate) static GEMM_O: Scheduled = Scheduled { specialised: Some(&GEMM_O_SPECIALISED), portable: &GEMM_O_PORTABLE };

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident = $path:literal;)*) => {
        $($(#[$doc])*
        pub(crate) static $name: Template =
            Template { path: $path, text: include_str!(concat!("../../templates/", $path)) };)*

        /// The files that are no files of parts.
        pub(crate) static FILES: [&Template; [$($path),*].len()] = [$(&$name),*];
    };
}

files! {
    /// Attention.
    ATTENTION_PORTABLE = "attention/portable.cu";
    /// Attention with roles for warps.
    ATTENTION_SPECIALISED = "attention/specialised.cu";
    /// Forecasts of tiles that attention does not compute.
    FORECAST = "attention/forecast.cu";
    /// Symbols of rules that each row decides for itself.
    RULES = "symbols/rules.cu";
    /// A projection to heads.
    GEMM_Q_PORTABLE = "gemm_q/portable.cu";
    /// A projection to heads.
    GEMM_Q_SPECIALISED = "gemm_q/specialised.cu";
    /// A projection back to the model width.
    GEMM_O_PORTABLE = "gemm_o/portable.cu";
    /// A projection back to the model width.
    GEMM_O_SPECIALISED = "gemm_o/specialised.cu";
    /// Means and self-similarities of blocks.
    POOL = "symbols/pool.cu";
    /// Means of all tokens.
    CENTERS = "symbols/centers.cu";
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
    /// Where a line of an order map is cut, by a warp.
    CUT = "symbols/cut.cu";
    /// Where all block pairs of a head are cut, by a CTA.
    CUT_OF_HEAD = "symbols/cut_of_head.cu";
    /// Rows of symbols.
    ROWS = "symbols/rows.cu";
    /// A launch that goes from rows to heads and from heads to items.
    NARROWING = "symbols/narrowing.cu";
    /// A launch with a warp for each line.
    LINES = "symbols/lines.cu";
    /// Which tiles of Q are computed.
    TILES = "tiles/list.cu";
    /// The same for tiles of several heads.
    HEAD_TILES = "tiles/heads.cu";
    /// In which order tiles of rows are taken.
    ROW_TILES = "tiles/rows.cu";
    /// Which tiles of attention are computed, heaviest first.
    HEAVIEST_FIRST = "tiles/heaviest_first.cu";
    /// Differences of outputs.
    DIFFERENCES = "gemm_o/differences.cu";
}

/// The text of every template.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    BEFORE_PARAMS.iter().chain(&AFTER_PARAMS).chain(&AFTER_RULES).chain(FILES).map(|file| file.text)
}
