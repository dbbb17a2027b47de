//! `cover(…)`: a token rule judged for a whole block pair, by visiting every token pair.

use std::collections::BTreeMap;

use sparsym_ir::expr::{Coordinate, Cover, CoverRule, Side};

use crate::places::{Place, Unit};
use crate::rules::Reader;
use crate::value::{V, float, int};

impl<'a> Reader<'a> {
    /// Whether the block pair at `place` is covered.
    pub(crate) fn covers(&self, cover: &'a Cover, place: Place<'a>) -> bool {
        // Of each pair of frames, or of all at once: which token pairs there are, (kv token, whether the rule holds).
        let mut judged: BTreeMap<[i32; 2], Vec<(usize, bool)>> = BTreeMap::new();
        for q in self.tokens_of(Unit::Block, Side::Q, place.q) {
            for kv in self.tokens_of(Unit::Block, Side::Kv, place.kv) {
                let pair = Place { unit: Unit::Token, q, kv, ..place };
                let frame = |side| int(self.coordinate(side, Coordinate::T, pair));
                let frames = if cover.per_frame { [frame(Side::Q), frame(Side::Kv)] } else { [0, 0] };
                let holds = self.read(&cover.mask, pair) == V::B(true);
                judged.entry(frames).or_default().push((kv, holds));
            }
        }
        judged.values().any(|pairs| match &cover.rule {
            CoverRule::Any => pairs.iter().any(|&(_, holds)| holds),
            CoverRule::All => pairs.iter().all(|&(_, holds)| holds),
            CoverRule::Fraction { least, share } => {
                let [least, share] = [least, share].map(|limit| float(self.read(limit, place)));
                self.fraction(pairs, least, share)
            }
        })
    }

    /// Whether, of the kv tokens that are paired at all, more than `share` are paired with more than `least` of a whole
    /// query block (Radial Attention, with 1/3 and 0.6).
    fn fraction(&self, pairs: &[(usize, bool)], least: f32, share: f32) -> bool {
        let mut queries: BTreeMap<usize, usize> = BTreeMap::new();
        for &(kv, _) in pairs.iter().filter(|(_, holds)| *holds) {
            *queries.entry(kv).or_default() += 1;
        }
        let density = |queries: usize| queries as f32 / self.bound.problem.blocks.q as f32;
        let above = queries.values().filter(|&&queries| density(queries) > least).count();
        !queries.is_empty() && above as f32 / queries.len() as f32 > share
    }
}
