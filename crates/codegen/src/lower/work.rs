//! Work that rules over lines ask for: what it makes, what it reads, and by whom it is done.

use sparsym_ir::Expr;
use sparsym_ir::expr::{Axis, ExprKind, Line, Side};

use crate::kernel::{Part, Step};

/// Rows of a CTA, a warp each: what [`QBlockOctets`](crate::kernel::GridAxis::QBlockOctets) counts.
pub(super) const ROWS_OF_CTA: u32 = 8;
/// Threads of a CTA of a narrowing launch.
pub(crate) const LANES_OF_CTA: u32 = 32 * ROWS_OF_CTA;

/// What work leaves for other work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// A map, by its number.
    Map(usize),
    /// The cuts of an order map, by its number.
    Cut(usize),
    /// Which query blocks of a head are computed.
    CacheBits,
    /// S_c.
    Cache,
    /// S_s and S_f.
    Pairs,
}

/// That work reads something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) of: Made,
    /// Of the row that it works on alone.
    pub(super) own_row: bool,
    /// Of the head that it works on alone.
    pub(super) own_head: bool,
}

/// By whom work is done.
#[derive(Debug)]
pub(super) enum Form {
    /// The rows of a CTA together.
    Rows,
    /// A row by a warp.
    Row,
    /// A row of all heads by a warp, in the CTAs of the first head.
    RowOfFirstHead,
    /// A head by a CTA.
    Head,
    /// A head by a warp.
    HeadByWarp,
    /// An item by a CTA.
    Item,
    /// All of it, by a launch of its own.
    Alone(Box<Step>),
}

/// A step of work.
pub(super) struct Work {
    pub(super) makes: Made,
    pub(super) reads: Vec<Read>,
    pub(super) form: Form,
    /// How a launch calls it.
    pub(super) call: String,
    /// Its text.
    pub(super) part: Option<Part>,
}

/// Work by the rows, the head and the item of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Rows,
    Head,
    Item,
}

impl Form {
    pub(super) fn level(&self) -> Option<Level> {
        match self {
            Form::Rows | Form::Row | Form::RowOfFirstHead => Some(Level::Rows),
            Form::Head | Form::HeadByWarp => Some(Level::Head),
            Form::Item => Some(Level::Item),
            Form::Alone(_) => None,
        }
    }

    pub(super) fn by_warp(&self) -> bool {
        matches!(self, Form::Row | Form::RowOfFirstHead | Form::HeadByWarp)
    }
}

impl Work {
    /// Whether it makes symbols and reads no other work.
    pub(super) fn is_apart(&self) -> bool {
        matches!(self.makes, Made::Cache | Made::Pairs) && self.reads.is_empty()
    }
}

/// What an expression reads, for each place of a line that lies in a row, or goes through all rows of a head.
pub(super) fn reads<'e>(exprs: impl IntoIterator<Item = &'e Expr>, line: Line) -> Vec<Read> {
    let mut found = Vec::new();
    exprs.into_iter().for_each(|expr| collect(expr, line == Line::Row, true, &mut found));
    found
}

fn collect(expr: &Expr, mut own_row: bool, mut own_head: bool, found: &mut Vec<Read>) {
    let over = match &expr.kind {
        ExprKind::Reduce(_, running, _) => Some(running.axis),
        ExprKind::Softmax(softmax) => Some(softmax.over.axis),
        _ => None,
    };
    own_row &= over != Some(Axis::Q);
    own_head &= over != Some(Axis::Head);
    if let ExprKind::Map(id, sides) = &expr.kind {
        // A map without rows belongs to its head, whoever reads it.
        let own_row = own_row && sides.first().is_none_or(|&side| side == Side::Q);
        found.push(Read { of: Made::Map(id.0), own_row, own_head });
    }
    expr.children().into_iter().for_each(|child| collect(child, own_row, own_head, found));
}
