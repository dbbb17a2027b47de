//! The rows of a stream cut into bands that one thread works off, and the runs of equal blocks inside a band.

use std::ops::Range;

use sparsym_ir::projection::Stream;

/// Most rows of a band. With 128 rows a float of a weight is read from the outer caches once for 128 multiply-adds.
const ROWS: usize = 128;
/// Jobs for each thread, where bands alone are fewer: then a band's columns are shared out.
const JOBS_PER_THREAD: usize = 4;

/// Rows that are worked off together: whole blocks, or a piece of one that is larger than a band.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Band {
    pub(crate) b: usize,
    /// Tokens of the joint sequence.
    pub(crate) tokens: Range<usize>,
}

impl Band {
    /// All bands of a stream, in the order of its rows. They do not depend on the number of threads.
    pub(crate) fn all(stream: &Stream) -> Vec<Band> {
        let (blocks, together) = (stream.own_blocks(), (ROWS / stream.block).max(1));
        let mut bands = Vec::new();
        for b in 0..stream.batch {
            for first in blocks.clone().step_by(together) {
                let last = (first + together).min(blocks.end) - 1;
                let tokens = stream.tokens_of(first).start..stream.tokens_of(last).end;
                let piece = tokens.len().div_ceil(tokens.len().div_ceil(ROWS).max(1)).max(1);
                let pieces = tokens.clone().step_by(piece);
                bands.extend(pieces.map(|start| Band { b, tokens: start..(start + piece).min(tokens.end) }));
            }
        }
        bands
    }

    /// Neighbouring blocks with the same key, each run with its rows counted from the band's first.
    pub(crate) fn runs<K: PartialEq>(&self, block: usize, key: impl Fn(usize) -> K) -> Vec<(K, Range<usize>)> {
        let mut runs: Vec<(K, Range<usize>)> = Vec::new();
        let mut row = 0;
        while row < self.tokens.len() {
            let at = (self.tokens.start + row) / block;
            let end = ((at + 1) * block).min(self.tokens.end) - self.tokens.start;
            let key = key(at);
            match runs.last_mut() {
                Some((last, rows)) if *last == key => rows.end = end,
                _ => runs.push((key, row..end)),
            }
            row = end;
        }
        runs
    }
}

/// Into how many jobs each of these bands is cut, of at most that many pieces: one, but where threads would idle.
pub(crate) fn shares(bands: usize, pieces: usize) -> usize {
    (JOBS_PER_THREAD * rayon::current_num_threads()).div_ceil(bands.max(1)).clamp(1, pieces.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(block: usize, first: usize, rows: usize) -> Vec<Range<usize>> {
        let (tokens, width, heads, head_dim) = (first + rows, 1, 1, 1);
        let stream = Stream { batch: 1, tokens, first, rows, width, heads, head_dim, block };
        Band::all(&stream).into_iter().map(|band| band.tokens).collect()
    }

    #[test]
    fn bands_hold_whole_blocks_or_pieces_of_one() {
        assert_eq!(tokens(128, 0, 300), [0..128, 128..256, 256..300]);
        assert_eq!(tokens(48, 10, 100), [10..96, 96..110]);
        assert_eq!(tokens(300, 0, 310), [0..100, 100..200, 200..300, 300..310]);
        assert_eq!(tokens(16, 5, 0), []);
    }

    #[test]
    fn runs_join_neighbours() {
        let band = Band { b: 0, tokens: 5..30 };
        assert_eq!(band.runs(8, |block| block > 1), [(false, 0..11), (true, 11..25)]);
    }
}
