//! What a field of the parameter struct holds: an address, several, or a number.

use sparsym_ir::expr::{Global, Side};
use sparsym_ir::strategy::{MOST_ORDER, MOST_TERMS};

/// Where a field's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The address of a device buffer.
    Buffer(Buffer),
    /// An array: as many of its elements as the call has.
    Array(Array),
    /// One number of the call.
    Number(Number),
    /// A tensor map: a tensor in a device buffer, cut into boxes that bulk copies move.
    Boxes(Boxes),
    /// Tensor maps of the partials that are added, each cut like this one.
    EachPartial(Boxes),
}

/// A tensor that lies without gaps in a buffer, and the box of it that one bulk copy moves. Axes are innermost first. In shared
/// memory 16-byte chunks of a box's rows change places within as many bytes as such a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Boxes {
    /// Where the tensor lies.
    pub of: Buffer,
    /// Its axes.
    pub axes: [BoxAxis; 4],
}

/// An axis of a tensor that is cut into boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BoxAxis {
    /// Elements of the tensor along it.
    pub length: Length,
    /// Elements of a box along it.
    pub in_box: u32,
}

/// How long an axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Length {
    /// Always as long.
    Fixed(u32),
    /// A number of the call.
    Of(Number),
    /// That of a window. The tensor goes on before and behind it, and copies do not reach beyond the window.
    Window {
        /// Elements of the tensor.
        all: Number,
        /// Of these, the first in the window.
        first: Number,
        /// Elements in the window.
        length: Number,
    },
}

/// An array in the parameter struct; its length is that of the longest forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Array {
    /// Addresses of cached features.
    Features,
    /// Addresses of partials that are added.
    Partials,
    /// Addresses of partials that are written, one for each order from 1.
    PartialsOut,
    /// Addresses of outputs of earlier Updates.
    Outputs,
    /// f32: a factor for each feature or partial.
    Coefficients,
    /// f32: for each order from 1 a weight for each output, order after order.
    Weights,
}

/// How much of the struct a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Elements.
    pub count: usize,
    /// Bytes of each.
    pub bytes: usize,
    /// What its offset is a multiple of.
    pub align: usize,
}

impl Source {
    /// How much of the struct it takes.
    pub(crate) fn extent(self) -> Extent {
        let of = |count, bytes| Extent { count, bytes, align: bytes };
        match self {
            Source::Buffer(_) => of(1, 8),
            Source::Number(_) => of(1, 4),
            Source::Boxes(_) => Extent { count: 1, bytes: 128, align: 64 },
            Source::EachPartial(_) => Extent { count: MOST_TERMS, bytes: 128, align: 64 },
            Source::Array(Array::Features | Array::Partials | Array::Outputs) => of(MOST_TERMS, 8),
            Source::Array(Array::PartialsOut) => of(MOST_ORDER, 8),
            Source::Array(Array::Coefficients) => of(MOST_TERMS, 4),
            Source::Array(Array::Weights) => of(MOST_ORDER * MOST_TERMS, 4),
        }
    }
}

/// A device buffer of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Buffer {
    /// `[B, N, H, D]`.
    Q,
    /// `[B, N_kv, H_kv, D]`.
    K,
    /// `[B, N_kv, H_kv, D]`.
    V,
    /// `[B, N, H, D]`; gemm_o reads it.
    O,
    /// f32 `[B, H, N]`, ragged `[H, total]`.
    Lse,
    /// Words of S_c.
    CacheSymbol,
    /// Words of S_s.
    SkipSymbol,
    /// Words of S_f.
    FullSymbol,
    /// The n-th cached feature, shaped as O.
    Feature(usize),
    /// Entries of the n-th table: i32, or f32 for a table of f32.
    Table(usize),
    /// Values of the n-th input: i32, or f32 for an input of f32.
    Input(usize),
    /// i32 index pointer of queries.
    QIndptr,
    /// i32 index pointer of keys and values.
    KvIndptr,
    /// Workspace, f32: means of the blocks of Q `[B, H, T_q, D]` or of K `[B, H_kv, T_kv, D]`.
    Means(Side),
    /// Workspace, f32: mean of all tokens of Q `[B, H, D]` or of K `[B, H_kv, D]`.
    Center(Side),
    /// Workspace, f32: self-similarity of the blocks of Q `[B, H, T_q]` or of K `[B, H_kv, T_kv]`.
    Similarity {
        /// Q or K.
        of: Side,
        /// Of tokens from which the mean of all was taken away.
        centered: bool,
    },
    /// Workspace, f32: values of a map, `[B, H]` and then its axes.
    Map {
        /// Its number among the maps of the strategy that is launched.
        index: usize,
        /// Whether T_q is one of its axes, and T_kv.
        axes: [bool; 2],
    },
    /// Workspace, u64: where the lines of the n-th order map are cut, `[B, H]`, and T_q if each row is a line.
    Cut {
        /// Its number.
        index: usize,
        /// Whether each row is a line.
        rows: bool,
    },
    /// Workspace, u32: `[B, H]` rows of T_q bits, which query blocks of a head are computed.
    CacheBits,
    /// Workspace, u32: for each head, and then for each item, how many CTAs of a launch are done. Zeros before a call, and
    /// again after it.
    Arrivals,
    /// gemm_q: hidden states of a stream `[B, rows, C]`.
    X,
    /// Weights of a projection: gemm_q `[H·D, C]`, gemm_o `[C, H·D]`.
    W,
    /// Bias of a projection: gemm_q `[H·D]`, gemm_o `[C]`.
    Bias,
    /// gemm_q: weight of the normalisation `[D]`.
    NormWeight,
    /// gemm_q: f32 `[N, D/2]`.
    RopeCos,
    /// gemm_q: f32 `[N, D/2]`.
    RopeSin,
    /// gemm_q writes it: `[B, N, H, D]`.
    QOut,
    /// gemm_q writes them, f32: means of blocks `[B, H, T, D]`.
    BlockMeans,
    /// Workspace of attention, u32: how many tiles of so many query rows are listed, and which.
    QTiles(u32),
    /// Workspace, u32: how many tiles of a list resident CTAs have taken beyond their first.
    TilesTaken,
    /// Workspace of gemm_q, u32: how many tiles are computed, and which.
    Tiles(ProductTiles),
    /// The same with four words for each tile of several heads.
    HeadTiles(ProductTiles),
    /// Workspace of gemm_o, u32: the tiles of rows in the order in which they are taken.
    RowTiles(ProductTiles),
    /// gemm_o writes it: `[B, rows, C]`.
    Y,
    /// gemm_o: the n-th partial that is added, `[B, rows, C]`.
    PartialIn(usize),
    /// gemm_o writes it: what cached heads come to, `[B, rows, C]`; of differences, the n-th has order n + 1.
    PartialOut(usize),
    /// gemm_o: O `[B, N, H, D]` of an earlier Update, the newest first.
    Output(usize),
    /// Workspace of gemm_o: differences of outputs, `[orders, B, N, H, D]`.
    Differences,
}

/// What to write at a field's offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// The 64-bit device address of this buffer.
    Buffer(Buffer),
    /// Four bytes.
    I32(i32),
    /// Four bytes.
    F32(f32),
    /// The 128 bytes of a tensor map of this tensor, innermost axis first, in boxes of so many elements.
    Boxes {
        /// Where the tensor lies.
        of: Buffer,
        /// Elements of the buffer before the first one that copies reach.
        first: u64,
        /// Elements along each axis.
        extents: [u64; 4],
        /// Elements from one index to the next, from the second axis on.
        strides: [u64; 3],
        /// Elements of a box along each.
        in_box: [u32; 4],
    },
}

/// A number of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the comments of the fields that hold them describe them
pub enum Number {
    Batch,
    NQ,
    NKv,
    TotalQ,
    TotalKv,
    Heads,
    KvHeads,
    HeadsPerKvHead,
    QBlocks,
    KvBlocks,
    QTiles(u32),
    Scale,
    ScaleLog2,
    Global(Global),
    Param(usize),
    RangeFirst(usize),
    RangeEnd(usize),
    GridFirst,
    GridEnd,
    GridExtent(usize),
    TileExtent(usize),
    Tiles(usize),
    TableEntry(usize),
    TableLastHead(usize),
    MaskFits,
    FirstToken,
    Rows,
    Width,
    FirstRowTile(ProductTiles),
    RowTiles(ProductTiles),
    ColumnTiles(ProductTiles),
    Eps,
    Coefficients,
    Outputs,
    Orders,
}

/// How the product of a stream is cut into tiles. They start at multiples of the tile in the joint sequence, so no block
/// meets two of them by where the stream starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct ProductTiles {
    /// Rows of a tile.
    pub rows: u32,
    /// Columns of a tile.
    pub columns: TileColumns,
}

/// Columns of a tile of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TileColumns {
    /// Those of so many heads.
    OfHeads(u32),
    /// So many of the model width.
    OfModel(u32),
}
