//! Fields that kernels of rules read, in tensor-life order: what a strategy declares, and the sizes of its problem.

use sparsym_ir::expr::{Global, Side};
use sparsym_ir::strategy::{Element, Scalar, Strategy};

use super::layout::Field;
use super::source::Source::{Buffer as B, Number as N};
use super::source::{Buffer, Number};

/// Index pointers, tables and inputs.
pub(crate) fn lookups(strategy: &Strategy) -> Vec<Field> {
    let mut fields = vec![
        Field::new("q_indptr", "const int*", B(Buffer::QIndptr), "[B + 1]"),
        Field::new("kv_indptr", "const int*", B(Buffer::KvIndptr), "[B + 1]"),
    ];
    let mut add = |name: &str, ty: &str, source, comment: &str| fields.push(Field::new(name, ty, source, comment));
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
    fields
}

/// What rules over blocks leave for later launches; `cuts` are those of order maps.
pub(crate) fn workspaces(strategy: &Strategy, cuts: &[Buffer]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut add = |name: &str, ty: &str, source, comment: &str| fields.push(Field::new(name, ty, source, comment));
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
    add("cache_bits", "u32*", B(Buffer::CacheBits), "[B, H] rows of T_q bits");
    add("arrivals", "u32*", B(Buffer::Arrivals), "[B, H], then [B]: zeros before a call and after it");
    fields
}

/// Sizes of the problem, and what is bound for a call.
pub(crate) fn sizes(strategy: &Strategy) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut add = |name: &str, ty: &str, source, comment: &str| fields.push(Field::new(name, ty, source, comment));
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
fn map_field(strategy: &Strategy, index: usize) -> String {
    format!("map_{}", strategy.maps[index].name)
}

/// Field of a strategy's param; prefixed so that it cannot meet another field.
pub(crate) fn param_field(name: &str) -> String {
    format!("param_{name}")
}
