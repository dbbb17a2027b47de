//! The shape of a function: basic blocks, where branches meet again, and which registers are alive where.

use crate::syntax::RegisterId;

/// What decoding knows of an instruction before registers have rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    /// Registers that it reads, its guard included.
    pub(super) reads: Vec<RegisterId>,
    /// Registers that it writes.
    pub(super) writes: Vec<RegisterId>,
    /// Whether lanes may skip it: then what it writes keeps its old value there.
    pub(super) guarded: bool,
    /// Where it may go next.
    pub(super) next: Next,
}

/// Where control goes after an instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Next {
    /// To the one that follows.
    #[default]
    Follow,
    /// To a place, and with a guard to the one that follows as well.
    Branch(usize),
    /// Nowhere, and with a guard to the one that follows as well.
    End,
}

/// A run of instructions that are executed one after the other.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) first: usize,
    /// One past the last.
    pub(super) end: usize,
    pub(super) successors: Vec<usize>,
}

/// The blocks of a function, and for each the block where its branches have met again.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) blocks: Vec<Block>,
    /// For each block, the nearest block that every way from it to the end goes through; None: only the end itself.
    pub(super) meeting: Vec<Option<usize>>,
    /// For each block, its place in an order where a block comes before those that it leads to, loops aside.
    pub(super) order: Vec<usize>,
}

impl Flow {
    pub(super) fn new(steps: &[Step]) -> Flow {
        let blocks = blocks(steps);
        let meeting = meeting_points(&blocks);
        let order = order(&blocks);
        Flow { blocks, meeting, order }
    }
}

fn blocks(steps: &[Step]) -> Vec<Block> {
    let mut leads = vec![false; steps.len() + 1];
    leads[0] = true;
    for (at, step) in steps.iter().enumerate() {
        if let Next::Branch(to) = step.next {
            leads[to] = true;
        }
        leads[at + 1] |= step.next != Next::Follow;
    }
    let firsts: Vec<usize> = (0..steps.len()).filter(|&at| leads[at]).collect();
    let block_of = |at: usize| firsts.partition_point(|&first| first <= at) - 1;
    let ends = firsts.iter().skip(1).copied().chain([steps.len()]);
    let block = |(&first, end): (&usize, usize)| {
        let last = &steps[end - 1];
        let mut successors = Vec::new();
        if let Next::Branch(to) = last.next
            && to < steps.len()
        {
            successors.push(block_of(to));
        }
        if (last.next == Next::Follow || last.guarded) && end < steps.len() {
            successors.push(block_of(end));
        }
        successors.dedup();
        Block { first, end, successors }
    };
    firsts.iter().zip(ends).map(block).collect()
}

/// Immediate post-dominators, by the method of Cooper, Harvey and Kennedy on the reversed graph.
fn meeting_points(blocks: &[Block]) -> Vec<Option<usize>> {
    // The end is one more node. A block that leads nowhere leads there, and so does one that cannot reach it otherwise:
    // an endless loop.
    let end = blocks.len();
    let mut predecessors = vec![Vec::new(); end + 1];
    let mut successors: Vec<Vec<usize>> = blocks.iter().map(|block| block.successors.clone()).collect();
    for (at, block) in blocks.iter().enumerate() {
        let falls_off = block.successors.is_empty();
        if falls_off {
            successors[at].push(end);
        }
    }
    for (at, list) in successors.iter().enumerate() {
        for &to in list {
            predecessors[to].push(at);
        }
    }
    let mut reaches = vec![false; end + 1];
    let mark = |from: usize, reaches: &mut [bool]| {
        let mut left = vec![from];
        while let Some(at) = left.pop() {
            if !std::mem::replace(&mut reaches[at], true) {
                left.extend(&predecessors[at]);
            }
        }
    };
    mark(end, &mut reaches);
    let mut lost = Vec::new();
    for at in 0..end {
        if !reaches[at] {
            lost.push(at);
            mark(at, &mut reaches);
        }
    }
    for at in lost {
        successors[at].push(end);
        predecessors[end].push(at);
    }
    let from_end = postorder(end, &predecessors);
    let mut number = vec![0; end + 1];
    for (place, &node) in from_end.iter().enumerate() {
        number[node] = place;
    }
    let mut dominator: Vec<Option<usize>> = vec![None; end + 1];
    dominator[end] = Some(end);
    let meet = |dominator: &[Option<usize>], mut a: usize, mut b: usize| {
        while a != b {
            while number[a] < number[b] {
                a = dominator[a].unwrap_or(end);
            }
            while number[b] < number[a] {
                b = dominator[b].unwrap_or(end);
            }
        }
        a
    };
    let mut changed = true;
    while changed {
        changed = false;
        for &node in from_end.iter().rev().filter(|&&node| node != end) {
            let known = successors[node].iter().copied().filter(|&to| dominator[to].is_some());
            let new = known.reduce(|a, b| meet(&dominator, a, b));
            if new.is_some() && dominator[node] != new {
                dominator[node] = new;
                changed = true;
            }
        }
    }
    dominator[..end].iter().map(|found| found.filter(|&block| block != end)).collect()
}

/// The place of each block in a reversed postorder from the first.
fn order(blocks: &[Block]) -> Vec<usize> {
    let successors: Vec<Vec<usize>> = blocks.iter().map(|block| block.successors.clone()).collect();
    let mut out = vec![blocks.len(); blocks.len()];
    for (place, block) in postorder(0, &successors).into_iter().rev().enumerate() {
        out[block] = place;
    }
    out
}

/// Nodes that can be reached, each after those that it leads to, loops aside.
fn postorder(from: usize, successors: &[Vec<usize>]) -> Vec<usize> {
    let mut out = Vec::new();
    if successors.is_empty() {
        return out;
    }
    let mut seen = vec![false; successors.len()];
    seen[from] = true;
    let mut stack = vec![(from, 0)];
    while let Some((node, at)) = stack.last_mut() {
        match successors[*node].get(*at) {
            Some(&to) => {
                *at += 1;
                if !seen[to] {
                    seen[to] = true;
                    stack.push((to, 0));
                }
            }
            None => {
                out.push(*node);
                stack.pop();
            }
        }
    }
    out
}

/// Steps that following the lives of registers may take: far more than the kernels of a compiler need. What is left then
/// lives everywhere, which is sound, and takes more rows.
const MOST_STEPS: usize = 1 << 28;

/// Where each register lives: the first and the last instruction at which it must have a row of its own.
pub(super) fn intervals(steps: &[Step], flow: &Flow, registers: usize) -> Vec<Option<(usize, usize)>> {
    let blocks = flow.blocks.len();
    let mut predecessors = vec![Vec::new(); blocks];
    let mut block_of = vec![0; steps.len()];
    for (at, block) in flow.blocks.iter().enumerate() {
        block.successors.iter().for_each(|&to| predecessors[to].push(at));
        block_of[block.first..block.end].fill(at);
    }
    let mut touched: Vec<Vec<usize>> = vec![Vec::new(); registers];
    for (at, step) in steps.iter().enumerate() {
        for id in step.reads.iter().chain(&step.writes) {
            let places = &mut touched[id.0 as usize];
            if places.last() != Some(&at) {
                places.push(at);
            }
        }
    }
    // For each block, the last register that was found alive at its start, and the last one that it writes before it reads.
    let (mut alive, mut begins) = (vec![usize::MAX; blocks], vec![usize::MAX; blocks]);
    let mut taken = 0;
    let mut out = vec![None; registers];
    for (id, places) in touched.iter().enumerate() {
        let (Some(&first), Some(&last)) = (places.first(), places.last()) else { continue };
        let mut interval = (first, last);
        let is = |found: &RegisterId| found.0 as usize == id;
        // Blocks at whose start the value is wanted: its first use there is a read, or a write that lanes may skip.
        let mut wanted = Vec::new();
        let mut seen = usize::MAX;
        for &at in places {
            let block = block_of[at];
            if block != seen {
                seen = block;
                let step = &steps[at];
                if step.guarded || step.reads.iter().any(is) {
                    wanted.push(block);
                } else {
                    begins[block] = id;
                }
            }
        }
        while let Some(at) = wanted.pop() {
            if std::mem::replace(&mut alive[at], id) == id {
                continue;
            }
            taken += 1 + predecessors[at].len();
            interval = (interval.0.min(flow.blocks[at].first), interval.1.max(flow.blocks[at].first));
            for &from in &predecessors[at] {
                // It must last until the end of a block that leads here.
                let end = flow.blocks[from].end - 1;
                interval = (interval.0.min(end), interval.1.max(end));
                if begins[from] != id {
                    wanted.push(from);
                }
            }
            if taken > MOST_STEPS {
                interval = (0, steps.len() - 1);
                break;
            }
        }
        out[id] = Some(interval);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(next: Next, guarded: bool) -> Step {
        Step { next, guarded, ..Step::default() }
    }

    /// 0: @p bra 3; 1: …; 2: bra 4; 3: …; 4: end
    fn diamond() -> Vec<Step> {
        vec![
            step(Next::Branch(3), true),
            step(Next::Follow, false),
            step(Next::Branch(4), false),
            step(Next::Follow, false),
            step(Next::End, false),
        ]
    }

    #[test]
    fn branches_of_a_diamond_meet_below() {
        let flow = Flow::new(&diamond());
        let firsts: Vec<_> = flow.blocks.iter().map(|block| block.first).collect();
        assert_eq!(firsts, [0, 1, 3, 4]);
        assert_eq!(flow.meeting, [Some(3), Some(3), Some(3), None]);
        assert!(flow.order[0] < flow.order[1] && flow.order[1] < flow.order[3] && flow.order[2] < flow.order[3]);
    }

    #[test]
    fn a_loop_meets_after_it_and_an_early_end_nowhere() {
        // 0: …; 1: @p bra 0; 2: @q exit; 3: exit
        let steps =
            vec![step(Next::Follow, false), step(Next::Branch(0), true), step(Next::End, true), step(Next::End, false)];
        let flow = Flow::new(&steps);
        assert_eq!(flow.meeting, [Some(1), Some(2), None]);
    }

    #[test]
    fn an_endless_loop_is_survived() {
        let flow = Flow::new(&[step(Next::Branch(0), false)]);
        assert_eq!(flow.meeting, [None]);
    }

    #[test]
    fn a_guarded_write_keeps_the_old_value_alive() {
        let (a, b) = (RegisterId(0), RegisterId(1));
        let mut steps = vec![step(Next::Follow, false); 5];
        steps[0].writes = vec![a];
        steps[1].writes = vec![b];
        (steps[3].writes, steps[3].guarded) = (vec![a], true);
        steps[4].reads = vec![a];
        steps[2].reads = vec![b];
        let flow = Flow::new(&steps);
        assert_eq!(intervals(&steps, &flow, 2), [Some((0, 4)), Some((1, 2))]);
    }
}
