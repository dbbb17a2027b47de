//! The one parameter of a kernel: a struct whose fields are named in the text and filled by [`arguments`].
//!
//! A field exists only if the text reads it (`p.name`), so no kernel has a parameter that it does not use.

use sparsym_ir::bind::{Bound, GridGeometry, Moment};
use sparsym_ir::classify::mask_fits;
use sparsym_ir::expr::{Global, Side};
use sparsym_ir::problem::Problem;
use sparsym_ir::strategy::{Element, Scalar, Strategy, TableAxis, Value};

use crate::projection::{MOST_ORDERS, MOST_PARTIALS, StreamNumber};

/// Fields of the kernel's parameter struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// In order of declaration.
    pub fields: Vec<Field>,
    /// Bytes of the struct.
    pub size: usize,
}

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Name in the text.
    pub name: String,
    /// Byte offset in the struct.
    pub offset: usize,
    /// Where its value comes from.
    pub source: Source,
    pub(crate) declaration: String,
    pub(crate) comment: String,
}

/// Where a field's value comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// The address of a device buffer.
    Buffer(Buffer),
    /// Addresses of up to four feature buffers.
    Features,
    /// Up to four f32 forecast coefficients.
    Coefficients,
    /// One number of the call.
    Number(Number),
    /// One number of a projection's call.
    OfStream(StreamNumber),
    /// Addresses of up to four partials that are added.
    Partials,
    /// Addresses of up to three partials that are written.
    PartialsOut,
    /// Addresses of up to four outputs.
    Outputs,
    /// Twelve f32: a weight for each of up to four outputs, order after order.
    Weights,
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
    /// Workspace of gemm_q, u32: how many tiles are computed, and which.
    Tiles,
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

impl Buffer {
    /// Bytes of a buffer that one launch of a kernel writes for those after it; None: it is not one.
    pub fn workspace_bytes(self, problem: &Problem) -> Option<usize> {
        let heads = |of: Side| problem.batch * if of == Side::Q { problem.heads } else { problem.kv_heads };
        let blocks = |of: Side| if of == Side::Q { problem.q_blocks() } else { problem.kv_blocks() };
        let along = |axes: [bool; 2]| {
            let [q, kv] = axes.map(usize::from);
            problem.q_blocks().pow(q as u32) * problem.kv_blocks().pow(kv as u32)
        };
        Some(match self {
            Buffer::Means(of) => 4 * heads(of) * blocks(of) * problem.head_dim,
            Buffer::Center(of) => 4 * heads(of) * problem.head_dim,
            Buffer::Similarity { of, .. } => 4 * heads(of) * blocks(of),
            Buffer::Map { axes, .. } => 4 * heads(Side::Q) * along(axes),
            Buffer::Cut { rows, .. } => 8 * heads(Side::Q) * along([rows, false]),
            _ => return None,
        })
    }
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
}

/// A number of the call.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the comments of the fields in `candidates` describe them
pub enum Number {
    NQ,
    NKv,
    TotalQ,
    Heads,
    KvHeads,
    HeadsPerKvHead,
    QBlocks,
    KvBlocks,
    Scale,
    ScaleLog2,
    Features,
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
}

/// All fields that a kernel of this strategy may read, in tensor-life order.
pub(crate) fn candidates(strategy: &Strategy, cuts: &[Buffer]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut add = |name: &str, ty: &str, source: Source, comment: &str| {
        fields.push(Field::new(name, ty, source, comment));
    };
    use Source::{Buffer as B, Number as N};
    add("q", "const u16*", B(Buffer::Q), "[B, N, H, D]");
    add("k", "const u16*", B(Buffer::K), "[B, N_kv, H_kv, D]");
    add("v", "const u16*", B(Buffer::V), "[B, N_kv, H_kv, D]");
    add("s_c", "const u32*", B(Buffer::CacheSymbol), "[B, T_q] rows of H bits");
    add("s_s", "const u32*", B(Buffer::SkipSymbol), "[B, H, T_q] rows of T_kv bits");
    add("s_f", "const u32*", B(Buffer::FullSymbol), "[B, H, T_q] rows of T_kv bits");
    add("s_c_out", "u32*", B(Buffer::CacheSymbol), "[B, T_q] rows of H bits");
    add("s_s_out", "u32*", B(Buffer::SkipSymbol), "[B, H, T_q] rows of T_kv bits");
    add("s_f_out", "u32*", B(Buffer::FullSymbol), "[B, H, T_q] rows of T_kv bits");
    add("o", "u16*", B(Buffer::O), "[B, N, H, D]");
    add("lse", "float*", B(Buffer::Lse), "[B, H, N], natural logarithm");
    add("features[4]", "const u16*", Source::Features, "[B, N, H, D] each");
    add("coefficients[4]", "float", Source::Coefficients, "of the forecast");
    add("n_features", "int", N(Number::Features), "of the forecast, 1 to 4");
    add("q_indptr", "const int*", B(Buffer::QIndptr), "[B + 1]");
    add("kv_indptr", "const int*", B(Buffer::KvIndptr), "[B + 1]");
    for (index, table) in strategy.tables.iter().enumerate() {
        let float = matches!(table.element, Element::One(Scalar::F32) | Element::Three(Scalar::F32));
        let ty = if float { "const float*" } else { "const int*" };
        let axes: Vec<&str> = table.axes.iter().map(|axis| axis.name()).collect();
        add(&format!("table_{}", table.name), ty, B(Buffer::Table(index)), &format!("[{}]", axes.join(", ")));
        let at = format!("entry_of_{}", table.name);
        add(&at, "int", N(Number::TableEntry(index)), "of head 0 at this step and layer");
        let last = format!("last_head_of_{}", table.name);
        add(&last, "int", N(Number::TableLastHead(index)), "that has an entry");
    }
    for (index, input) in strategy.inputs.iter().enumerate() {
        let ty = if input.scalar == Scalar::F32 { "const float*" } else { "const int*" };
        add(&format!("input_{}", input.name), ty, B(Buffer::Input(index)), "[B, N]");
    }
    for side in [Side::Q, Side::Kv] {
        let (x, shape) = if side == Side::Q { ("q", "[B, H, T_q") } else { ("k", "[B, H_kv, T_kv") };
        add(&format!("mean_{x}"), "float*", B(Buffer::Means(side)), &format!("{shape}, D]"));
        let center = if side == Side::Q { "[B, H, D]" } else { "[B, H_kv, D]" };
        add(&format!("center_{x}"), "float*", B(Buffer::Center(side)), center);
        for (name, centered) in [("similarity", false), ("centered_similarity", true)] {
            let buffer = B(Buffer::Similarity { of: side, centered });
            add(&format!("{name}_{x}"), "float*", buffer, &format!("{shape}]"));
        }
    }
    for (index, map) in strategy.maps.iter().enumerate() {
        let axes = [Side::Q, Side::Kv].map(|side| map.axes.iter().any(|axis| axis.side == side));
        let shape = ["[B, H]", "[B, H, T_kv]", "[B, H, T_q]", "[B, H, T_q, T_kv]"];
        let comment = shape[2 * usize::from(axes[0]) + usize::from(axes[1])];
        add(&map_field(strategy, index), "float*", B(Buffer::Map { index, axes }), comment);
    }
    for &cut in cuts {
        if let Buffer::Cut { index, rows } = cut {
            add(&format!("cut_{index}"), "u64*", B(cut), if rows { "[B, H, T_q]" } else { "[B, H]" });
        }
    }
    add("n_q", "int", N(Number::NQ), "N: query tokens of a sequence");
    add("n_kv", "int", N(Number::NKv), "N_kv: key/value tokens of a sequence");
    add("total_q", "int", N(Number::TotalQ), "query tokens of all sequences");
    add("heads", "int", N(Number::Heads), "H");
    add("kv_heads", "int", N(Number::KvHeads), "H_kv");
    add("heads_per_kv_head", "int", N(Number::HeadsPerKvHead), "H / H_kv");
    add("q_blocks", "int", N(Number::QBlocks), "T_q");
    add("kv_blocks", "int", N(Number::KvBlocks), "T_kv");
    add("scale", "float", N(Number::Scale), "of the logits");
    add("scale_log2", "float", N(Number::ScaleLog2), "of the logits, times log2(e)");
    for global in [Global::Step, Global::Steps, Global::SinceUpdate, Global::Layer, Global::FrameLen] {
        add(global.name(), "int", N(Number::Global(global)), "");
    }
    for (index, range) in strategy.tokens.iter().enumerate() {
        let (first, end) = (format!("{}_first", range_field(&range.name)), format!("{}_end", range_field(&range.name)));
        add(&first, "int", N(Number::RangeFirst(index)), "first token of the range");
        add(&end, "int", N(Number::RangeEnd(index)), "token after its last");
    }
    add("grid_first", "int", N(Number::GridFirst), "first token of the grid");
    add("grid_end", "int", N(Number::GridEnd), "token after its last");
    for (axis, name) in ["t", "h", "w"].into_iter().enumerate() {
        add(&format!("grid_{name}"), "int", N(Number::GridExtent(axis)), "tokens along the axis");
        add(&format!("tile_{name}"), "int", N(Number::TileExtent(axis)), "tokens of a tile along the axis");
        add(&format!("tiles_{name}"), "int", N(Number::Tiles(axis)), "tiles along the axis");
    }
    add("mask_fits", "int", N(Number::MaskFits), "0 if a sum in the mask may leave 32 bits");
    for (index, param) in strategy.params.iter().enumerate() {
        let ty = if param.scalar == Scalar::F32 { "float" } else { "int" };
        add(&param_field(&param.name), ty, N(Number::Param(index)), &comment(&param.doc));
    }
    fields
}

/// The first line of a doc as a comment that ends where the line ends, for every compiler.
fn comment(doc: &str) -> String {
    let line = doc.lines().next().unwrap_or_default();
    let is_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let line: String = line.chars().map(|c| if is_line(c) { ' ' } else { c }).collect();
    // Older C++ reads `??/` as a backslash, and newer compilers warn of it.
    let line = line.replace("??/", "?? /");
    let line = line.trim().trim_end_matches('.').trim_end();
    // A backslash at the end would make the next line a comment too.
    let full_stop = if line.ends_with('\\') { "." } else { "" };
    format!("{line}{full_stop}")
}

/// Field of a range's ends; prefixed so that it cannot meet another field.
pub(crate) fn range_field(name: &str) -> String {
    format!("range_{name}")
}

/// Field of a map's values.
pub(crate) fn map_field(strategy: &Strategy, index: usize) -> String {
    format!("map_{}", strategy.maps[index].name)
}

/// Field of a strategy's param; prefixed so that it cannot meet another field.
pub(crate) fn param_field(name: &str) -> String {
    format!("param_{name}")
}

impl Params {
    /// Keeps the fields that `text` reads and lays them out as C does.
    pub(crate) fn of_text(candidates: Vec<Field>, text: &str) -> Params {
        let mut fields: Vec<Field> = candidates.into_iter().filter(|field| reads(text, field.base_name())).collect();
        let mut size = 0usize;
        let mut most_aligned = 4;
        for field in &mut fields {
            let (count, bytes) = field.extent();
            size = size.next_multiple_of(bytes);
            most_aligned = most_aligned.max(bytes);
            field.offset = size;
            size += count * bytes;
        }
        Params { fields, size: size.next_multiple_of(most_aligned) }
    }

    /// The C declaration of the struct.
    pub(crate) fn declaration(&self) -> String {
        let column = self.fields.iter().map(|field| field.declaration.len()).max().unwrap_or(0) + 2;
        let mut text = String::from("struct Params {\n");
        for field in &self.fields {
            let declaration = format!("{};", field.declaration);
            match field.comment.is_empty() {
                true => text.push_str(&format!("    {declaration}\n")),
                false => text.push_str(&format!("    {declaration:column$}// {}\n", field.comment)),
            }
        }
        text.push_str("};\n");
        text
    }
}

impl Field {
    pub(crate) fn new(name: &str, ty: &str, source: Source, comment: &str) -> Field {
        Field {
            name: name.to_owned(),
            offset: 0,
            source,
            declaration: format!("{ty} {name}"),
            comment: comment.to_owned(),
        }
    }

    /// Its type in the text; of an array, whose length is in the name, that of an element.
    pub fn c_type(&self) -> &str {
        self.declaration.strip_suffix(&self.name).unwrap_or(&self.declaration).trim_end()
    }

    fn base_name(&self) -> &str {
        self.name.split('[').next().unwrap_or_default()
    }

    /// Number of elements and bytes of each.
    fn extent(&self) -> (usize, usize) {
        match self.source {
            Source::Buffer(_) => (1, 8),
            Source::Features | Source::Partials | Source::Outputs => (MOST_PARTIALS, 8),
            Source::PartialsOut => (MOST_ORDERS, 8),
            Source::Coefficients => (MOST_PARTIALS, 4),
            Source::Weights => (MOST_ORDERS * MOST_PARTIALS, 4),
            Source::Number(_) | Source::OfStream(_) => (1, 4),
        }
    }
}

/// Whether the text reads the field `p.name`.
fn reads(text: &str, name: &str) -> bool {
    let needle = format!("p.{name}");
    text.match_indices(&needle).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + needle.len()..].chars().next();
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !before.is_some_and(|c| in_name(c) || c == '.') && !after.is_some_and(in_name)
    })
}

/// Byte offsets and values for one call.
pub(crate) fn arguments(
    params: &Params,
    bound: &Bound<'_>,
    moment: &Moment,
    coefficients: &[f32],
) -> Vec<(usize, Argument)> {
    let mut out = Vec::new();
    for field in &params.fields {
        match field.source {
            Source::Buffer(buffer) => out.push((field.offset, Argument::Buffer(buffer))),
            Source::Features => out.extend(
                (0..coefficients.len().min(4)).map(|k| (field.offset + 8 * k, Argument::Buffer(Buffer::Feature(k)))),
            ),
            Source::Coefficients => out.extend(
                coefficients.iter().take(4).enumerate().map(|(k, &c)| (field.offset + 4 * k, Argument::F32(c))),
            ),
            Source::Number(number) => out.push((field.offset, value(number, bound, moment, coefficients.len()))),
            Source::OfStream(_) | Source::Partials | Source::PartialsOut | Source::Outputs | Source::Weights => {}
        }
    }
    out
}

/// The grid, if it has tokens.
fn grid_of<'a>(bound: &'a Bound<'_>) -> Option<&'a GridGeometry> {
    bound.geometry.grid.as_ref().filter(|grid| !grid.is_empty())
}

fn value(number: Number, bound: &Bound<'_>, moment: &Moment, n_features: usize) -> Argument {
    let problem: &Problem = bound.problem;
    let grid = |pick: fn(&GridGeometry) -> usize| grid_of(bound).map_or(0, pick);
    let int = |n: usize| Argument::I32(n as i32);
    match number {
        Number::NQ => int(problem.n_q),
        Number::NKv => int(problem.n_kv),
        Number::TotalQ => int(problem.q_shape()[..2].iter().product()),
        Number::Heads => int(problem.heads),
        Number::KvHeads => int(problem.kv_heads),
        Number::HeadsPerKvHead => int(problem.heads / problem.kv_heads),
        Number::QBlocks => int(problem.q_blocks()),
        Number::KvBlocks => int(problem.kv_blocks()),
        Number::Scale => Argument::F32(problem.scale),
        Number::ScaleLog2 => Argument::F32((f64::from(problem.scale) * std::f64::consts::LOG2_E) as f32),
        Number::Features => int(n_features),
        Number::Global(global) => Argument::I32(match global {
            Global::Step => moment.step as i32,
            Global::Steps => moment.steps as i32,
            Global::SinceUpdate => moment.since_update as i32,
            Global::Layer => moment.layer as i32,
            Global::Heads => problem.heads as i32,
            Global::HeadDim => problem.head_dim as i32,
            Global::BlockQ => problem.blocks.q as i32,
            Global::BlockKv => problem.blocks.kv as i32,
            Global::QBlocks => problem.q_blocks() as i32,
            Global::KvBlocks => problem.kv_blocks() as i32,
            Global::GridT => grid_of(bound).map_or(1, |grid| grid.extent[0]) as i32,
            Global::GridH => grid_of(bound).map_or(1, |grid| grid.extent[1]) as i32,
            Global::GridW => grid_of(bound).map_or(1, |grid| grid.extent[2]) as i32,
            Global::FrameLen => bound.geometry.grid.map_or(problem.n_q, |grid| grid.frame_len()) as i32,
            Global::Head | Global::Batch => 0,
        }),
        Number::Param(index) => match bound.bindings.params[index] {
            Value::Bool(v) => Argument::I32(i32::from(v)),
            Value::Int(v) => Argument::I32(v as i32),
            Value::Float(v) => Argument::F32(v as f32),
        },
        Number::RangeFirst(index) => int(bound.geometry.ranges[index].0),
        Number::RangeEnd(index) => int(bound.geometry.ranges[index].0 + bound.geometry.ranges[index].1),
        Number::GridFirst => int(grid(|g| g.start)),
        Number::GridEnd => int(grid(|g| g.start + g.len())),
        Number::GridExtent(axis) => int(grid_of(bound).map_or(1, |g| g.extent[axis].max(1))),
        Number::TileExtent(axis) => int(grid_of(bound).map_or(1, |g| g.tile[axis].max(1))),
        Number::Tiles(axis) => int(grid_of(bound).map_or(1, |g| g.tiles()[axis].max(1))),
        Number::MaskFits => Argument::I32(i32::from(mask_fits(bound, moment))),
        Number::TableEntry(index) => {
            let (table, data) = (&bound.strategy.tables[index], &bound.bindings.tables[index]);
            let indices: Vec<usize> = table
                .axes
                .iter()
                .map(|axis| match axis {
                    TableAxis::Step => moment.step as usize,
                    TableAxis::Layer => moment.layer as usize,
                    TableAxis::Head => 0,
                })
                .collect();
            int(data.entry(&indices))
        }
        Number::TableLastHead(index) => {
            let (table, data) = (&bound.strategy.tables[index], &bound.bindings.tables[index]);
            let at = table.axes.iter().position(|&axis| axis == TableAxis::Head);
            int(at.map_or(0, |at| data.shape[at] - 1))
        }
    }
}
