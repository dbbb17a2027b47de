//! A cell cut into quarters until its verdict is known: what is left where interval arithmetic over a whole cell cannot tell.
//!
//! The walk needs no stack: a part is the cell's place in a square of 2^levels × 2^levels tokens, given by as many leading
//! bits of its first token's offsets as its depth says, a bit of q's and of kv's in turn. Kernels walk in the same order.

/// A part of a cell. At depth 0 it is the whole; each step halves it, along q and kv in turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Offset of the first query token.
    pub(super) q: usize,
    /// Offset of the first kv token.
    pub(super) kv: usize,
    depth: u32,
    levels: u32,
}

impl Part {
    /// All of a cell of these extents, which are not 0.
    pub(super) fn whole(q_len: usize, kv_len: usize) -> Part {
        Part { q: 0, kv: 0, depth: 0, levels: usize::BITS - (q_len.max(kv_len) - 1).leading_zeros() }
    }

    /// Query and kv tokens, past the end of the cell too.
    pub(super) fn size(&self) -> [usize; 2] {
        [1 << (self.levels - self.depth.div_ceil(2)), 1 << (self.levels - self.depth / 2)]
    }

    /// Goes down to the first half; false for a single token pair.
    pub(super) fn enter(&mut self) -> bool {
        let can = self.depth < 2 * self.levels;
        self.depth += u32::from(can);
        can
    }

    /// Goes on to the part that follows; false after the last one.
    pub(super) fn next(&mut self) -> bool {
        while self.depth > 0 {
            let half = 1 << (self.levels - self.depth.div_ceil(2));
            let offset = if self.depth % 2 == 1 { &mut self.q } else { &mut self.kv };
            *offset ^= half;
            if *offset & half != 0 {
                return true;
            }
            self.depth -= 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pairs_are_visited_once() {
        for (n_q, n_kv) in [(1, 1), (1, 5), (6, 1), (5, 3), (8, 8)] {
            let (mut part, mut seen) = (Part::whole(n_q, n_kv), vec![0; n_q * n_kv]);
            loop {
                let [q, kv] = part.size();
                let inside = part.q < n_q && part.kv < n_kv;
                if inside && part.enter() {
                    continue;
                }
                if inside {
                    assert_eq!([q, kv], [1, 1]);
                    seen[part.q * n_kv + part.kv] += 1;
                }
                if !part.next() {
                    break;
                }
            }
            assert!(seen.iter().all(|&n| n == 1), "{n_q} × {n_kv}: {seen:?}");
        }
    }
}
