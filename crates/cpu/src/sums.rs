//! Where GEMM-O adds up some columns of a band: in the result itself, or in f32 beside it.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::element::Element;
use crate::gemm::{Matrix, Target, multiply};

/// Some columns of a band of a result.
pub(crate) enum Rows<'y, T> {
    /// All columns, so that the rows follow one another.
    Whole(&'y mut [T]),
    /// These columns of each row.
    Pieces(Vec<&'y mut [T]>),
}

/// The same columns and rows, while they are added up in f32.
pub(crate) struct Sums<'y, T> {
    rows: Rows<'y, T>,
    columns: usize,
    /// Empty if the result itself holds the sums.
    beside: Option<Buffer>,
}

impl<'y, T: Element> Sums<'y, T> {
    /// Of any value. An f32 result is as good a place as any, and one pass over memory less.
    pub(crate) fn new(mut rows: Rows<'y, T>, count: usize, columns: usize) -> Sums<'y, T> {
        let in_place = match &mut rows {
            Rows::Whole(values) => T::as_f32_mut(values).is_some(),
            Rows::Pieces(_) => false,
        };
        Sums { rows, columns, beside: (!in_place).then(|| Buffer::new(count * columns)) }
    }

    /// All sums, row after row.
    pub(crate) fn values(&mut self) -> &mut [f32] {
        match (&mut self.beside, &mut self.rows) {
            (Some(beside), _) => beside,
            (None, Rows::Whole(values)) => T::as_f32_mut(values).expect("sums in place are f32"),
            (None, Rows::Pieces(_)) => unreachable!("pieces are added up beside"),
        }
    }

    /// The sums of each row.
    pub(crate) fn rows(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let columns = self.columns;
        self.values().chunks_exact_mut(columns)
    }

    /// Adds A·B to a range of rows and a range of columns.
    pub(crate) fn add(&mut self, rows: &Range<usize>, columns: Range<usize>, k: usize, a: Matrix, b: Matrix) {
        let stride = self.columns;
        let sums = &mut self.values()[rows.start * stride + columns.start..rows.end * stride];
        multiply([rows.len(), columns.len(), k], a, b, sums, stride, Target::Add);
    }

    /// Rounds the sums to their place; they are used up.
    pub(crate) fn finish(self) {
        let Some(mut beside) = self.beside else { return };
        let sums = beside.chunks_exact_mut(self.columns);
        match self.rows {
            Rows::Whole(rows) => {
                sums.zip(rows.chunks_exact_mut(self.columns)).for_each(|(sums, row)| T::narrow(sums, 1.0, row));
            }
            Rows::Pieces(rows) => sums.zip(rows).for_each(|(sums, row)| T::narrow(sums, 1.0, row)),
        }
    }
}
