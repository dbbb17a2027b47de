//! Basic blocks of a function, its loops, and the usual way around a loop.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::listing::{Function, Instruction};

/// Blocks of a function, in the order of their addresses.
pub(crate) struct Flow<'a> {
    code: &'a [Instruction],
    blocks: Vec<Block>,
    /// Of each block those that it may follow.
    before: Vec<Vec<usize>>,
}

/// Instructions of which all are reached or none.
struct Block {
    range: Range<usize>,
    /// Blocks that may follow.
    next: BTreeSet<usize>,
}

/// Blocks from which the first is reached again.
#[derive(Debug)]
pub(crate) struct Loop {
    first: usize,
    blocks: BTreeSet<usize>,
}

/// By number of the convergence barrier: where its threads may meet.
type Meetings = BTreeMap<String, BTreeSet<usize>>;

impl<'a> Flow<'a> {
    /// # Errors
    /// A branch whose target is not known.
    pub(crate) fn of(function: &'a Function) -> Result<Flow<'a>, String> {
        let code = &function.code[..];
        let next = followers(code)?;
        let is_end = |at: usize| next[at].len() != 1 || next[at].iter().any(|&to| to != at + 1);
        let mut starts: BTreeSet<usize> = BTreeSet::from([0]);
        for at in (0..code.len()).filter(|&at| is_end(at)) {
            starts.extend(next[at].iter().copied());
            starts.insert(at + 1);
        }
        let starts: Vec<usize> = starts.into_iter().filter(|&at| at < code.len()).collect();
        let block_of = |at: usize| starts.partition_point(|&start| start <= at) - 1;
        let ends = starts.iter().skip(1).copied().chain([code.len()]);
        let blocks = starts.iter().zip(ends).map(|(&start, end)| Block {
            range: start..end,
            next: next[end - 1].iter().filter(|&&to| to < code.len()).map(|&to| block_of(to)).collect(),
        });
        let blocks: Vec<Block> = blocks.collect();
        let mut before = vec![Vec::new(); blocks.len()];
        for (from, block) in blocks.iter().enumerate() {
            block.next.iter().for_each(|&to| before[to].push(from));
        }
        Ok(Flow { code, blocks, before })
    }

    /// Loops with such an instruction in them and in no smaller loop of theirs, in the order of their addresses.
    pub(crate) fn innermost_with(&self, is: impl Fn(&Instruction) -> bool) -> Vec<Loop> {
        let has = |found: &Loop| found.blocks.iter().any(|&block| self.instructions(block).iter().any(&is));
        let with: Vec<Loop> = self.loops().into_iter().filter(has).collect();
        let holds = |outer: &Loop, inner: &Loop| outer.first != inner.first && outer.blocks.contains(&inner.first);
        let is_innermost: Vec<bool> = with.iter().map(|outer| !with.iter().any(|inner| holds(outer, inner))).collect();
        with.into_iter().zip(is_innermost).filter(|(_, innermost)| *innermost).map(|(found, _)| found).collect()
    }

    /// Everything in a loop.
    pub(crate) fn body(&self, of: &Loop) -> Vec<&'a Instruction> {
        of.blocks.iter().flat_map(|&block| self.instructions(block)).collect()
    }

    /// Once around a loop: of the ways with the most of such instructions the shortest. So a retry of a wait, a detour for
    /// what seldom happens and the longer one of two bodies are left out.
    pub(crate) fn usual_way(&self, around: &Loop, product: impl Fn(&Instruction) -> bool) -> Vec<&'a Instruction> {
        let products = |block: usize| self.instructions(block).iter().filter(|one| product(one)).count();
        // Most products first, then fewest instructions; `last` leads back.
        type Way = (usize, std::cmp::Reverse<usize>);
        let mut best: BTreeMap<usize, (Way, Option<usize>)> = BTreeMap::new();
        for &block in &self.in_order(around) {
            let before = self.before(around, block).filter_map(|from| Some((best.get(&from)?.0, Some(from))));
            let start = (block == around.first).then_some(((0, std::cmp::Reverse(0)), None));
            let Some(((most, fewest), from)) = before.chain(start).max() else { continue };
            let way = (most + products(block), std::cmp::Reverse(fewest.0 + self.blocks[block].range.len()));
            best.insert(block, (way, from));
        }
        let closes = |block: &&usize| self.blocks[**block].next.contains(&around.first);
        let mut at =
            around.blocks.iter().filter(closes).max_by_key(|block| best.get(block).map(|found| found.0)).copied();
        let mut way = Vec::new();
        while let Some(block) = at {
            way.push(block);
            at = best.get(&block).and_then(|found| found.1);
        }
        way.iter().rev().flat_map(|&block| self.instructions(block)).collect()
    }

    /// What may be executed from an instruction on.
    pub(crate) fn reached_from(&self, at: usize) -> Vec<&'a Instruction> {
        let block = self.blocks.partition_point(|block| block.range.start <= at) - 1;
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<usize> = self.blocks[block].next.iter().copied().collect();
        while let Some(next) = waiting.pop() {
            if seen.insert(next) {
                waiting.extend(&self.blocks[next].next);
            }
        }
        let rest = &self.code[at + 1..self.blocks[block].range.end];
        rest.iter().chain(seen.into_iter().flat_map(|block| self.instructions(block))).collect()
    }

    fn instructions(&self, block: usize) -> &'a [Instruction] {
        &self.code[self.blocks[block].range.clone()]
    }

    /// Natural loops, one for each block that an edge leads back to; the edge's block is reached through it alone.
    fn loops(&self) -> Vec<Loop> {
        let above = self.dominators();
        let mut found: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (from, block) in self.blocks.iter().enumerate() {
            for &first in block.next.iter().filter(|first| above[from].contains(first)) {
                let blocks = found.entry(first).or_insert_with(|| BTreeSet::from([first]));
                let mut waiting = vec![from];
                while let Some(block) = waiting.pop() {
                    if blocks.insert(block) {
                        waiting.extend(self.before[block].iter().filter(|&&before| !above[before].is_empty()));
                    }
                }
            }
        }
        found.into_iter().map(|(first, blocks)| Loop { first, blocks }).collect()
    }

    /// Of each block those that every way to it passes, itself among them; of what is never reached none.
    fn dominators(&self) -> Vec<BTreeSet<usize>> {
        let mut above: Vec<Option<BTreeSet<usize>>> = vec![None; self.blocks.len()];
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for block in 0..self.blocks.len() {
                let known = self.before[block].iter().filter_map(|&before| above[before].clone());
                let shared = match block {
                    0 => Some(BTreeSet::new()),
                    _ => known.reduce(|a, b| a.intersection(&b).copied().collect()),
                };
                let Some(mut now) = shared else { continue };
                now.insert(block);
                has_changed |= above[block].as_ref() != Some(&now);
                above[block] = Some(now);
            }
        }
        above.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Blocks of a loop from which a block of it follows, the way back to its first one left out.
    fn before(&self, around: &Loop, block: usize) -> impl Iterator<Item = usize> {
        let is_way = block != around.first;
        self.before[block].iter().copied().filter(move |from| is_way && around.blocks.contains(from))
    }

    /// Blocks of a loop, each behind those that lead to it, but for ways back of loops inside.
    fn in_order(&self, around: &Loop) -> Vec<usize> {
        fn visit(flow: &Flow<'_>, around: &Loop, block: usize, seen: &mut BTreeSet<usize>, out: &mut Vec<usize>) {
            if around.blocks.contains(&block) && seen.insert(block) {
                for &next in &flow.blocks[block].next {
                    visit(flow, around, next, seen, out);
                }
                out.push(block);
            }
        }
        let mut out = Vec::new();
        visit(self, around, around.first, &mut BTreeSet::new(), &mut out);
        out.reverse();
        out
    }
}

/// Of each instruction those that may be executed after it. Convergence barriers (`BSSY B0, meet` … `BSYNC B0`) are
/// followed: lanes that wait at one go on where it says that they meet.
fn followers(code: &[Instruction]) -> Result<Vec<BTreeSet<usize>>, String> {
    let mut next = vec![BTreeSet::new(); code.len()];
    let mut known: Vec<Option<Meetings>> = vec![None; code.len()];
    let mut waiting = vec![(0, Meetings::new())];
    while let Some((at, coming)) = waiting.pop() {
        let Some(one) = code.get(at) else { continue };
        let mut meetings = known[at].clone().unwrap_or_default();
        for (barrier, places) in coming {
            meetings.entry(barrier).or_default().extend(places);
        }
        if known[at].as_ref() == Some(&meetings) {
            continue;
        }
        known[at] = Some(meetings.clone());
        next[at] = after(at, one, &meetings)?;
        if one.is("BSSY") {
            let (barrier, meet) = (barrier_of(one), one.target());
            meetings.insert(barrier, meet.into_iter().collect());
        }
        waiting.extend(next[at].iter().map(|&to| (to, meetings.clone())));
    }
    Ok(next)
}

fn after(at: usize, one: &Instruction, meetings: &Meetings) -> Result<BTreeSet<usize>, String> {
    let may_pass = one.predicate.as_ref().is_some_and(|predicate| !predicate.ends_with("PT"));
    let behind = BTreeSet::from([at + 1]);
    let ends = ["EXIT", "RET", "BPT", "KILL"].iter().any(|end| one.is(end));
    let to = if one.is("BRA") {
        // `BRA UP0, to` and `BRA.DIV UR4, to` have a condition among their operands.
        let asks = may_pass || one.operands.contains(',');
        let target =
            one.target().ok_or_else(|| format!("the target of {} {} is not known", one.opcode, one.operands))?;
        let mut to = BTreeSet::from([target]);
        to.extend(asks.then_some(at + 1));
        to
    } else if one.is("BRX") || one.is("JMX") || one.is("JMP") {
        return Err(format!("the target of {} {} is not known", one.opcode, one.operands));
    } else if one.is("BSYNC") {
        let meet = meetings.get(&barrier_of(one)).filter(|places| !places.is_empty());
        let mut to = meet.cloned().unwrap_or_else(|| behind.clone());
        to.extend(may_pass.then_some(at + 1));
        to
    } else if ends {
        if may_pass { behind } else { BTreeSet::new() }
    } else {
        behind
    };
    Ok(to)
}

/// `B0`
fn barrier_of(one: &Instruction) -> String {
    one.operands.split(',').next().unwrap_or_default().trim().to_owned()
}
