//! How many token pairs pass, counted over cells instead of pairs.

use crate::expr::Side;

use super::interval::{Cell, Interval};
use super::pieces::Piece;
use super::{Classifier, Coverage, Found, Sheet, differences};

/// The first and the last of some tokens.
pub(crate) type Run = (usize, usize);

impl Classifier {
    /// Coverage of a block pair by the first sheet, if it is known for sure.
    pub(crate) fn certain(&self, i: usize, j: usize) -> Option<Coverage> {
        match self.sheets[0].find(i, j) {
            Found::PASS => Some(Coverage::Full),
            Found::FAIL | Found::NOTHING => Some(Coverage::Empty),
            Found::BOTH => Some(Coverage::Partial),
            _ => None,
        }
    }

    /// Whether a first look at a block pair by the first sheet tells that no token pair passes.
    pub(crate) fn is_plainly_empty(&self, i: usize, j: usize) -> bool {
        let sheet = &self.sheets[0];
        let (Some(q), Some(kv)) = (&sheet.q[i].whole, &sheet.kv[j].whole) else { return true };
        sheet.test.truth(&Cell::new(q, kv, differences(q, kv))) == Some(false)
    }

    /// Adds to `counts`, one for each token of `kv`, the tokens of `q` that pass with it by the first sheet. Asks `passes`
    /// about pairs that no interval decides.
    pub(crate) fn count(&self, q: Run, kv: Run, passes: &dyn Fn(usize, usize) -> bool, counts: &mut [usize]) {
        let sheet = &self.sheets[0];
        let pieces = |side: Side, run| sheet.tokens[side as usize].pieces(run);
        let (rows, columns) = (pieces(Side::Q, q), pieces(Side::Kv, kv));
        for q in &rows {
            for columns in &columns {
                let first = columns.pos.lo as usize - kv.0;
                sheet.count(q, columns, passes, &mut counts[first..]);
            }
        }
    }
}

impl Sheet {
    /// Halves the differences of positions until each half is decided: on a band of differences a column passes with a run
    /// of queries.
    fn count(&self, q: &Piece, kv: &Piece, passes: &dyn Fn(usize, usize) -> bool, counts: &mut [usize]) {
        let mut open = vec![differences(q, kv)];
        while let Some(diff) = open.pop() {
            let mut cell = Cell::new(q, kv, diff);
            if let (Some(a), Some(b)) = (q.shift, kv.shift) {
                cell.cells = cell.cells.meet(Interval::new(diff.lo + a - b, diff.hi + a - b));
            }
            // Queries that have this difference with a column.
            let rows = |column: i64| q.pos.lo.max(column + diff.lo)..=q.pos.hi.min(column + diff.hi);
            match self.test.truth(&cell) {
                Some(false) => {}
                Some(true) => {
                    for (count, column) in counts.iter_mut().zip(kv.pos.lo..=kv.pos.hi) {
                        *count += (rows(column).end() + 1 - rows(column).start()).max(0) as usize;
                    }
                }
                None if diff.lo < diff.hi => {
                    let middle = (diff.lo + diff.hi).div_euclid(2);
                    open.extend([Interval::new(middle + 1, diff.hi), Interval::new(diff.lo, middle)]);
                }
                None => {
                    for (count, column) in counts.iter_mut().zip(kv.pos.lo..=kv.pos.hi) {
                        *count += rows(column).filter(|&row| passes(row as usize, column as usize)).count();
                    }
                }
            }
        }
    }
}
