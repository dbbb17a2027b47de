//! Which work shares a launch.
//!
//! Work is done for rows of a head, for heads or for items of the batch, and a launch narrows: its CTAs have rows first; the
//! last of a head to be done goes on with the head, the last of an item with the item. So what is read must lie in an earlier
//! launch, in an earlier level of the same one, or in the same row or head. Work that is as large as all block pairs of a
//! head and no row's own would leave a GPU idle there, and has a launch of its own.

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

use super::functions::Builder;
use super::work::{Form, LANES_OF_CTA, Level, Made, ROWS_OF_CTA, Work};
use crate::kernel::{GridAxis, Part, Step};
use crate::text::{NARROWING, POOL};

/// Calls that no barrier of the CTA parts.
#[derive(Serialize)]
struct Group {
    by_warp: bool,
    calls: Vec<Call>,
}

#[derive(Serialize)]
struct Call {
    text: String,
    of_first_head: bool,
}

/// The launches that do all work. Work stands after what it reads.
pub(super) fn launches(builder: &Builder, works: Vec<Work>) -> (Vec<Part>, Vec<Step>) {
    let launch_of = schedule(&works);
    let last = launch_of.iter().max().copied().unwrap_or(0);
    let mut steps: Vec<Option<Step>> =
        (0..=last).map(|n| narrowing(builder, &works, &launch_of, n, n == last)).collect();
    let mut parts = Vec::new();
    for (work, launch) in works.into_iter().zip(launch_of) {
        parts.extend(work.part);
        if let Form::Alone(step) = work.form {
            steps[launch] = Some(*step);
        }
    }
    (parts, steps.into_iter().map(|step| step.expect("a launch has work")).collect())
}

/// Lets launches that narrow start while the ones before them run, where those say when; they wait themselves.
pub(super) fn overlap(steps: &mut [Step]) {
    let says_when = |step: &Step| [POOL.path, NARROWING.path].contains(&step.text.template.path);
    for n in 1..steps.len() {
        if steps[n].text.template.path == NARROWING.path && says_when(&steps[n - 1]) {
            steps[n].launch.early = true;
            add(&mut steps[n], context! { waits => true });
            add(&mut steps[n - 1], context! { lets_next_start => true });
        }
    }
}

fn add(step: &mut Step, values: Value) {
    let others = std::mem::take(&mut step.text.values);
    step.text.values = context! { ..values, ..others };
}

/// The launch of each work.
fn schedule(works: &[Work]) -> Vec<usize> {
    let mut launch_of: Vec<Option<usize>> = vec![None; works.len()];
    let mut launch = 0;
    while launch_of.contains(&None) {
        let waits = |launch_of: &[Option<usize>], n: usize| launch_of[n].is_none();
        let alone = (0..works.len())
            .find(|&n| waits(&launch_of, n) && works[n].form.level().is_none() && fits(works, &launch_of, n, launch));
        if let Some(n) = alone {
            launch_of[n] = Some(launch);
        } else {
            for level in [Level::Rows, Level::Head, Level::Item] {
                for n in 0..works.len() {
                    if waits(&launch_of, n)
                        && works[n].form.level() == Some(level)
                        && fits(works, &launch_of, n, launch)
                    {
                        launch_of[n] = Some(launch);
                    }
                }
            }
        }
        assert!(launch_of.contains(&Some(launch)), "work reads what comes after it");
        launch += 1;
    }
    launch_of.into_iter().flatten().collect()
}

/// Whether everything that work reads is there in this launch.
fn fits(works: &[Work], launch_of: &[Option<usize>], n: usize, launch: usize) -> bool {
    works[n].reads.iter().all(|read| {
        let Some(from) = works.iter().position(|work| work.makes == read.of) else { return true };
        match (launch_of[from], works[from].form.level(), works[n].form.level()) {
            (None, ..) => false,
            (Some(at), ..) if at < launch => true,
            (_, Some(made), Some(level)) => {
                made <= level
                    && (level == Level::Item || read.own_head)
                    && (level != made || made != Level::Rows || read.own_row)
            }
            _ => false,
        }
    })
}

/// The launch of this number, if its work shares it.
fn narrowing(builder: &Builder, works: &[Work], launch_of: &[usize], launch: usize, is_last: bool) -> Option<Step> {
    let of = |level: Level| -> Vec<&Work> {
        let here = works.iter().zip(launch_of).filter(|&(_, &of)| of == launch);
        here.map(|(work, _)| work).filter(|work| work.form.level() == Some(level)).collect()
    };
    let [rows, head, item] = [Level::Rows, Level::Head, Level::Item].map(of);
    let (grid, words) = match (rows.is_empty(), head.is_empty(), item.is_empty()) {
        (false, ..) => ([GridAxis::QBlockOctets, GridAxis::Heads], "a CTA for each eight query blocks of a head."),
        (_, false, _) => ([GridAxis::One, GridAxis::Heads], "a CTA for each head."),
        (_, _, false) => ([GridAxis::One, GridAxis::One], "a CTA for each item."),
        _ => return None,
    };
    let name = if is_last { "rules".to_owned() } else { format!("launch_{launch}") };
    let values = context! {
        title => &name,
        launch => words,
        rows => Serde(groups(&rows)),
        by_warp => rows.iter().any(|work| work.form.by_warp()),
        head => Serde(groups(&head)),
        item => item.first().map(|work| &work.call),
        waits => false,
        lets_next_start => false,
    };
    Some(builder.launch(&name, &NARROWING, LANES_OF_CTA, [grid[0], grid[1], GridAxis::Batch], values))
}

/// Work of a level, in groups between which all threads of a CTA meet. Warps that work on a head at once do not read each
/// other.
fn groups(works: &[&Work]) -> Vec<Group> {
    let mut groups: Vec<(Group, Vec<Made>)> = Vec::new();
    for work in works {
        let by_warp = work.form.by_warp();
        let call = Call { text: work.call.clone(), of_first_head: matches!(work.form, Form::RowOfFirstHead) };
        let follows = groups.last().is_some_and(|(group, made)| {
            let apart = matches!(work.form, Form::HeadByWarp)
                && (group.calls.len() as u32 == ROWS_OF_CTA || work.reads.iter().any(|read| made.contains(&read.of)));
            let together =
                by_warp || matches!(work.form, Form::Rows) && !work.reads.iter().any(|read| made.contains(&read.of));
            group.by_warp == by_warp && together && !apart
        });
        if !follows {
            groups.push((Group { by_warp, calls: Vec::new() }, Vec::new()));
        }
        let (group, made) = groups.last_mut().expect("there is one now");
        group.calls.push(call);
        made.push(work.makes);
    }
    groups.into_iter().map(|(group, _)| group).collect()
}
