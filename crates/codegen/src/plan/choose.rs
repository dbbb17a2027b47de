//! Which schedule and which tile: schedules, then tiles, the best first; one that is refused is refused with a reason.

use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Code, Finding};

use super::tile::{AttentionTile, ProjectionTile, Registers};
use crate::request::{AttentionRequest, CachedRows, Request, Scale, Sequences, ToHeads};
use crate::schedule::Schedule;

/// What was taken.
pub(crate) struct Choice<T> {
    pub schedule: Schedule,
    pub tile: T,
}

/// Most operands of a mask for a pair that a tight tile has registers for: a window beside text has 18.
const LONG_MASK: usize = 64;

/// What an attention kernel's options ask of registers.
struct Needs {
    mask: bool,
    scored: bool,
    /// Tokens have coordinates in a grid.
    grid: bool,
    /// A score, index pointers or a forecast.
    others: bool,
    /// The mask reads tables or inputs, whose addresses it keeps; or has many operands, and those that are the same for all
    /// tokens stay where they are.
    long_mask: bool,
    /// From sm_100 on the compiler's own schedule takes more.
    new_target: bool,
}

impl Needs {
    fn of(request: &Request<'_>, of: &AttentionRequest<'_>) -> Needs {
        let strategy = of.strategy;
        let mut operands = 0;
        strategy.mask.iter().for_each(|mask| mask.value.walk_pair(&mut |_| operands += 1));
        let looks_up = !(strategy.tables.is_empty() && strategy.inputs.is_empty());
        let scored = strategy.score.is_some() || of.scale == Scale::Any;
        Needs {
            mask: strategy.mask.is_some(),
            scored,
            grid: strategy.tokens.iter().any(|range| range.grid.is_some()),
            others: scored || of.sequences == Sequences::Ragged || of.cached_rows == CachedRows::Forecast,
            long_mask: looks_up || operands > LONG_MASK,
            new_target: request.target.capability() >= 100,
        }
    }

    /// Why a tile has no registers for it.
    fn refuse(&self, tile: &AttentionTile) -> Option<&'static str> {
        let few = match tile.registers {
            Registers::Full => self.mask || self.others || self.new_target,
            Registers::Tight => self.mask && (self.others || self.long_mask || self.new_target),
            Registers::Free => false,
        };
        few.then_some(
            "it leaves too few registers for the mask, the score, index pointers or a forecast on this target",
        )
    }
}

/// The best tile that the blocks, the target and the options allow; of those that the [fit](Request::fit) asks for.
///
/// # Errors
/// S602 with a line for each tile that was refused, or if there is no such fit.
pub(crate) fn attention(request: &Request<'_>, of: &AttentionRequest<'_>) -> Result<Choice<AttentionTile>, Finding> {
    let (blocks, head_dim, target) = (of.blocks, request.head_dim as u32, request.target);
    let needs = Needs::of(request, of);
    let too_large = |tile: &AttentionTile| {
        let (needed, most) = (tile.shared(head_dim).bytes, target.shared_bytes());
        (needed > most).then(|| format!("it takes {needed} bytes of shared memory and {} has {most}", target.name()))
    };
    let here = |schedule, tile: &AttentionTile| match schedule {
        Schedule::Specialised => specialised_refuses(request, of, tile, &needs),
        Schedule::Portable => None,
    };
    let divides = |tile: &AttentionTile| blocks.q.is_multiple_of(tile.q) && blocks.kv.is_multiple_of(tile.kv);
    let all = schedules(request).flat_map(|schedule| {
        AttentionTile::table(schedule, head_dim).iter().map(move |&tile| Choice { schedule, tile })
    });
    let (mut taken, mut roomier, mut sizes) = (None, Vec::new(), Vec::new());
    let none = schedules(request).filter(|&schedule| AttentionTile::table(schedule, head_dim).is_empty());
    let mut refused: Vec<String> =
        none.map(|schedule| format!("\n  {}: it has no tile for this head dimension", schedule.name())).collect();
    for Choice { schedule, tile } in all {
        let unfit = here(schedule, &tile)
            .map(str::to_owned)
            .or_else(|| too_large(&tile))
            .or_else(|| needs.refuse(&tile).map(str::to_owned));
        if unfit.is_none() {
            sizes.push(format!("{}×{}", tile.q, tile.kv));
        }
        if taken.is_some() {
            // Fewer row tiles or columns leave more registers than the best one.
            if divides(&tile) && unfit.is_none() && tile.registers == Registers::Free {
                roomier.push(Choice { schedule, tile });
            }
            continue;
        }
        let uneven = || (!divides(&tile)).then(|| "it does not divide the blocks".to_owned());
        match unfit.or_else(uneven) {
            Some(reason) => refused.push(format!("\n  {} {}×{}: {reason}", schedule.name(), tile.q, tile.kv)),
            None => taken = Some(Choice { schedule, tile }),
        }
    }
    let Some(best) = taken else {
        let what = format!(
            "blocks of {}×{} tokens cannot be tiled for head dimension {head_dim} on {}:{}",
            blocks.q,
            blocks.kv,
            target.name(),
            refused.concat()
        );
        let help = match &sizes[..] {
            [] => "leave the schedule to sparsym: another one can do it".to_owned(),
            sizes => {
                let sizes = sizes.join(", ");
                format!("use blocks that are multiples of one of the tiles {sizes}{}", decisions(of.strategy))
            }
        };
        return Err(Finding::new(Code::NoTile, what, help));
    };
    if best.schedule == Schedule::Specialised {
        // How many registers a rule takes, only the compiler knows: narrower tiles first, then the other schedules.
        let mut own = vec![best];
        own.extend(roomier.into_iter().filter(|choice| choice.schedule == Schedule::Specialised));
        let others = request.fit.checked_sub(own.len());
        return match others {
            None => Ok(own.swap_remove(request.fit)),
            Some(_) if request.schedule.is_some() => Err(no_more_fits("attention")),
            Some(fit) => attention(&Request { schedule: Some(Schedule::Portable), fit, ..request.clone() }, of),
        };
    }
    // The best tile again, for which the compiler is told that one CTA on an SM is enough; then the roomier ones.
    let again = (best.tile.ctas_per_sm == 1).then_some(Choice { ..best });
    std::iter::once(best).chain(again).chain(roomier).nth(request.fit).ok_or_else(|| no_more_fits("attention"))
}

/// Why the specialised schedule has no kernel for it.
fn specialised_refuses(
    request: &Request<'_>,
    of: &AttentionRequest<'_>,
    tile: &AttentionTile,
    needs: &Needs,
) -> Option<&'static str> {
    // Of a head dimension of 128 the operands of products leave registers for a short mask or a score.
    let wide = request.head_dim == 128 && tile.kv == 128;
    let (full, ragged) = (wide && needs.mask, of.sequences == Sequences::Ragged);
    let reasons = [
        (!request.target.has_warpgroup_products(), "the target has no products of warpgroups"),
        (full && needs.scored, "it leaves too few registers for a score beside a mask"),
        (full && needs.long_mask, "it leaves too few registers for a mask of so many operands"),
        (full && needs.grid, "it leaves too few registers for a mask of grid coordinates"),
        (full && ragged, "it leaves too few registers for a mask beside index pointers"),
        (wide && ragged && needs.scored, "it leaves too few registers for a score beside index pointers"),
    ];
    reasons.into_iter().find_map(|(refuses, why)| refuses.then_some(why))
}

/// For a fit that there is not.
pub(crate) fn no_more_fits(room: &str) -> Finding {
    let what = format!("no other plan of {room} leaves more registers to the rules");
    Finding::new(Code::NoTile, what, "shorten the rules, or use smaller blocks")
}

/// What other blocks change beside the tile.
fn decisions(strategy: &Strategy) -> &'static str {
    if strategy.rules.is_empty() { "" } else { DECIDE }
}

const DECIDE: &str = "; rules over blocks then decide for other tokens";

/// The tile of a projection to heads.
///
/// # Errors
/// S602 for blocks that no tile can obey or take means of.
pub(crate) fn to_heads(request: &Request<'_>, of: &ToHeads) -> Result<Choice<ProjectionTile>, Finding> {
    first(request, |schedule| {
        if of.together && schedule == Schedule::Portable {
            let what = "the portable schedule projects to heads one by one";
            return Err(Finding::new(Code::NoTile, what, "ask for each projection alone"));
        }
        let tile = ProjectionTile::to_heads(schedule, request.head_dim as u32);
        to_heads_by(schedule, tile, request, of)
    })
}

fn to_heads_by(
    schedule: Schedule,
    tile: ProjectionTile,
    request: &Request<'_>,
    of: &ToHeads,
) -> Result<ProjectionTile, Finding> {
    obey(&tile, of.block)?;
    let whole = |block: u32| block != 0 && block.is_multiple_of(32) && tile.rows.is_multiple_of(block);
    if let Some(block) = of.means.filter(|&block| !whole(block)) {
        let what =
            format!("no projection makes means of blocks of {block} tokens for head dimension {}", request.head_dim);
        let help = format!("use blocks of 32, 64{}", if tile.rows == 128 { " or 128" } else { "" });
        return Err(Finding::new(Code::NoTile, what, help));
    }
    match (of.block, of.means) {
        (Some(block), Some(means)) if block != means => Err(Finding::new(
            Code::NoTile,
            format!("no projection makes means of blocks of {means} tokens where S_c has blocks of {block}"),
            "use one block for both",
        )),
        _ => filled(schedule, tile, request, of.means.is_some()),
    }
}

/// The tile of a projection back from heads.
///
/// # Errors
/// S602 for blocks that no tile can obey.
pub(crate) fn from_heads(
    request: &Request<'_>,
    block: Option<u32>,
    differences: bool,
) -> Result<Choice<ProjectionTile>, Finding> {
    first(request, |schedule| {
        let tile = ProjectionTile::from_heads(schedule, request.head_dim as u32);
        obey(&tile, block)?;
        let sum = || format!("no warpgroups sum heads of blocks of {} tokens", block.unwrap_or(0));
        match schedule {
            Schedule::Specialised if differences => Err(Finding::new(
                Code::NoTile,
                "no warpgroups project differences of outputs",
                "leave the choice of the schedule to the compiler",
            )),
            // Then a tile has rows of one block, whose heads all of its rows sum.
            Schedule::Specialised if tile.subtile_rows(block) != tile.rows => {
                Err(Finding::new(Code::NoTile, sum(), format!("use blocks that are multiples of {}", tile.rows)))
            }
            _ => filled(schedule, tile, request, false),
        }
    })
}

/// The first schedule that has a tile, or the one that the [fit](Request::fit) asks for; otherwise what is against the last
/// one, which asks for least.
fn first(
    request: &Request<'_>,
    tile: impl Fn(Schedule) -> Result<ProjectionTile, Finding>,
) -> Result<Choice<ProjectionTile>, Finding> {
    let of = |schedule: Schedule| {
        if schedule == Schedule::Specialised && !request.target.has_warpgroup_products() {
            let what = format!("{} has no products of warpgroups", request.target.name());
            return Err(Finding::new(Code::NoTile, what, "leave the choice of the schedule to the compiler"));
        }
        Ok(Choice { schedule, tile: tile(schedule)? })
    };
    let (made, refused): (Vec<_>, Vec<_>) = schedules(request).map(of).partition(Result::is_ok);
    let taken = made.into_iter().nth(request.fit);
    let last = refused.into_iter().last().filter(|_| request.fit == 0);
    taken.or(last).unwrap_or_else(|| Err(no_more_fits("a projection")))
}

/// Schedules that the request allows, the fastest first.
pub(crate) fn schedules(request: &Request<'_>) -> impl Iterator<Item = Schedule> + use<> {
    let (wanted, target) = (request.schedule, request.target);
    let has = move |schedule| schedule == Schedule::Portable || target.has_warpgroup_products();
    Schedule::ALL.iter().copied().filter(move |&schedule| match wanted {
        Some(wanted) => wanted == schedule,
        None => has(schedule),
    })
}

/// S_c of such blocks must be something that warps can obey.
fn obey(tile: &ProjectionTile, block: Option<u32>) -> Result<(), Finding> {
    match block {
        Some(block) if block == 0 || !block.is_multiple_of(32) => {
            let rows = 16 * tile.row_tiles;
            let what =
                format!("no projection obeys S_c of blocks of {block} tokens: a warp of its tile has {rows} rows");
            Err(Finding::new(Code::NoTile, what, format!("use blocks that are multiples of 32{DECIDE}")))
        }
        _ => Ok(()),
    }
}

/// As many CTAs and stages as the SM has room for; CTAs first, because one works while another waits or finishes. A CTA with
/// roles does all that by itself.
fn filled(
    schedule: Schedule,
    tile: ProjectionTile,
    request: &Request<'_>,
    means: bool,
) -> Result<ProjectionTile, Finding> {
    const SYSTEM: u32 = 1024; // of the SM's shared memory, for each CTA
    let target = request.target;
    let fillings: &[(u32, u32)] = match schedule {
        Schedule::Specialised => &[(1, 4), (1, 3)],
        Schedule::Portable => &[(2, 3), (2, 2), (1, 3), (1, 2)],
    };
    let bytes = |tile: &ProjectionTile| tile.shared(schedule, means).bytes;
    fillings
        .iter()
        .map(|&(ctas_per_sm, stages)| ProjectionTile { ctas_per_sm, stages, ..tile })
        .find(|tile| tile.ctas_per_sm * (bytes(tile) + SYSTEM) <= target.shared_bytes() + SYSTEM)
        .ok_or_else(|| {
            let what = format!("{} has no room for a tile of {}×{}", target.name(), tile.rows, tile.columns);
            Finding::new(Code::NoTile, what, "use a smaller head dimension")
        })
}
