//! One call cut into query tiles, and the tiles worked off in parallel.

use rayon::prelude::*;
use sparsym_ir::{AttentionCall, Problem};

use crate::element::Element;
use crate::panels::{Panels, Source};
use crate::rules::Rules;
use crate::softmax::LANES;
use crate::tile::{Head, Tile};

/// Most query rows of a tile. With 128 rows a float of K or V is read from the outer caches once for 128 multiply-adds.
const TILE_Q: usize = 128;
/// Most kv tokens of a tile, and of a strip of tiles whose logits are held at once.
pub(crate) const STRIP: usize = 512;
/// Kv heads are worked off together until there are this many query tiles for each thread, so that few threads idle at the
/// end; not more, so that the panels of the next heads overwrite memory that is still in the caches.
const TILES_PER_THREAD: usize = 32;
/// Most bytes of panels at a time, unless one kv head needs more.
const PANEL_BYTES: usize = 256 << 20;

/// The tiles that read one kv head.
struct Group<'o, T> {
    b: usize,
    kv_head: usize,
    tiles: Vec<Tile<'o, T>>,
}

/// O and LSE of a checked call.
pub(crate) fn run<T: Element>(call: &AttentionCall) -> (Vec<T>, Vec<f32>) {
    let problem = call.bound.problem;
    let mut o = zeros(call.q.len());
    let mut lse = vec![f32::NEG_INFINITY; call.q.len() / problem.head_dim];
    let (mut groups, cached) = cut(call, &mut o);
    if call.forecast.is_some() {
        cached.into_par_iter().for_each(|mut tile| tile.forecast(call));
    }
    while !groups.is_empty() {
        let rest = groups.split_off(groups_at_once(problem, &groups));
        for (start, rows) in work(call, std::mem::replace(&mut groups, rest)) {
            lse[start..start + rows.len()].copy_from_slice(&rows);
        }
    }
    (o, lse)
}

/// Zeros, written by all threads: one thread alone would take a noticeable part of a sparse call for them.
fn zeros<T: Element>(len: usize) -> Vec<T> {
    const TOGETHER: usize = 256;
    let together = rayon::iter::repeat_n([T::ZERO; TOGETHER], len.div_ceil(TOGETHER));
    let mut zeros = together.collect::<Vec<_>>().into_flattened();
    zeros.truncate(len);
    zeros
}

/// The query tiles: those that are computed, by the kv head they read, and those that are not.
fn cut<'o, T: Element>(call: &AttentionCall, o: &'o mut [T]) -> (Vec<Group<'o, T>>, Vec<Tile<'o, T>>) {
    let problem = call.bound.problem;
    let (heads, block) = (problem.heads, problem.blocks.q as usize);
    let tile_q = block.div_ceil(block.div_ceil(TILE_Q));
    let (mut groups, mut cached) = (Vec::new(), Vec::new());
    let mut rows = o.chunks_exact_mut(problem.head_dim);
    for b in 0..problem.batch {
        let first_group = groups.len();
        groups.extend((0..problem.kv_heads).map(|kv_head| Group { b, kv_head, tiles: Vec::new() }));
        let n = problem.q_rows(b).len();
        for i in 0..n.div_ceil(block) {
            let end = ((i + 1) * block).min(n);
            for first in (i * block..end).step_by(tile_q) {
                let len = tile_q.min(end - first);
                let mut by_head: Vec<Vec<&mut [T]>> = (0..heads).map(|_| Vec::with_capacity(len)).collect();
                for _ in 0..len {
                    by_head.iter_mut().zip(rows.by_ref()).for_each(|(head, row)| head.push(row));
                }
                for (h, rows) in by_head.into_iter().enumerate() {
                    let tile = Tile { b, h, i, first, rows };
                    if call.symbols.cache.get(b, h, i) {
                        groups[first_group + problem.kv_head(h)].tiles.push(tile);
                    } else {
                        cached.push(tile);
                    }
                }
            }
        }
    }
    groups.retain(|group| !group.tiles.is_empty());
    (groups, cached)
}

/// How many of the first groups to work off together: enough tiles for all threads, as far as their panels fit.
fn groups_at_once<T>(problem: &Problem, groups: &[Group<T>]) -> usize {
    let (mut bytes, mut tiles) = (0, 0);
    let together = groups.iter().take_while(|group| {
        let enough = tiles >= TILES_PER_THREAD * rayon::current_num_threads();
        tiles += group.tiles.len();
        bytes += Panels::bytes(problem.kv_rows(group.b).len(), problem.head_dim);
        !enough && bytes <= PANEL_BYTES
    });
    together.count().max(1)
}

/// Works off the tiles of some groups; gives the LSE of each tile and where it begins.
fn work<T: Element>(call: &AttentionCall, groups: Vec<Group<T>>) -> Vec<(usize, Vec<f32>)> {
    let problem = call.bound.problem;
    let panels = make_panels(call, &groups);
    let heads_of_kv = problem.heads / problem.kv_heads;
    let rules_of = |group: &Group<T>| {
        let first = group.kv_head * heads_of_kv;
        (first..first + heads_of_kv).map(|h| Rules::new(call, group.b, h)).collect()
    };
    let rules: Vec<Vec<Rules>> = groups.iter().map(rules_of).collect();
    let tiles: Vec<(usize, Tile<T>)> = groups
        .into_iter()
        .enumerate()
        .flat_map(|(index, group)| group.tiles.into_iter().map(move |tile| (index, tile)))
        .collect();
    // Tiles differ in their number of computed pairs: each one is a piece that an idle thread may take.
    tiles
        .into_par_iter()
        .with_max_len(1)
        .map(|(index, mut tile)| {
            let head = Head { call, panels: &panels[index], rules: &rules[index][tile.h % heads_of_kv] };
            (lse_index(problem, &tile), tile.attend(&head))
        })
        .collect()
}

/// K and V of each group as f32, in the largest tiles of at most [`STRIP`] tokens that divide a block.
fn make_panels<T: Element>(call: &AttentionCall, groups: &[Group<T>]) -> Vec<Panels> {
    let problem = call.bound.problem;
    let block = problem.blocks.kv as usize;
    let divides = |tile: &usize| block.is_multiple_of(*tile);
    let tile_kv = (LANES..=STRIP).rev().step_by(LANES).find(divides).unwrap_or(LANES);
    let new = |group: &Group<T>| Panels::new(problem.kv_rows(group.b).len(), tile_kv, problem.head_dim);
    let mut panels: Vec<Panels> = groups.iter().map(new).collect();
    let (k, v) = (T::elements(call.k), T::elements(call.v));
    let mut jobs = Vec::new();
    for (group, panels) in groups.iter().zip(&mut panels) {
        // Kv blocks that no computed query block reads are not converted.
        let mut read = vec![false; problem.kv_blocks()];
        for tile in &group.tiles {
            call.symbols.skip.computed(group.b, tile.h, tile.i).for_each(|j| read[j] = true);
        }
        jobs.extend(panels.unfilled().filter(|tile| read[tile.tokens().start / block]).map(|tile| (group, tile)));
    }
    jobs.into_par_iter().for_each(|(group, tile)| {
        let (rows, kv_heads) = (problem.kv_rows(group.b), problem.kv_heads);
        tile.fill(&Source { k, v, rows, kv_heads, kv_head: group.kv_head });
    });
    panels
}

/// Where the LSE of a tile's first row lies in `[B, H, N]` or, ragged, in `[H, total]`.
fn lse_index<T>(problem: &Problem, tile: &Tile<T>) -> usize {
    match &problem.ragged {
        None => (tile.b * problem.heads + tile.h) * problem.n_q + tile.first,
        Some(_) => tile.h * problem.q_shape()[1] + problem.q_rows(tile.b).start + tile.first,
    }
}
