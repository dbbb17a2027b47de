//! Values that lanes give each other: shuffles, votes, matches, reductions over a warp, elections.

use super::form::operands::{L, P, TO_P, TO_W, TO_WP, W};
use super::form::{Action, Family, Form, Operand, lane_function};
use crate::machine::exchange::Exchange;
use crate::machine::lanes::{WARP, lanes_of};
use crate::trap::Fault;

/// The rows of this family. The last operand is the mask of the lanes that take part.
pub(super) const FORMS: &[Form] = &[
    row(
        "shfl.sync.up.b32",
        SHUFFLE,
        "d = a of the lane b below, p = it lies in the segment of c; else its own a",
        Action::Exchange(|exchange| {
            shuffle(exchange, |lane, b, limits| {
                let source = lane.wrapping_sub(b);
                (source, source as i32 >= limits.last as i32)
            })
        }),
    ),
    row(
        "shfl.sync.down.b32",
        SHUFFLE,
        "d = a of the lane b above, p = it lies in the segment of c; else its own a",
        Action::Exchange(|exchange| shuffle(exchange, |lane, b, limits| (lane + b, lane + b <= limits.last))),
    ),
    row(
        "shfl.sync.bfly.b32",
        SHUFFLE,
        "d = a of lane (own ^ b), p = it lies in the segment of c or below; else its own a",
        Action::Exchange(|exchange| shuffle(exchange, |lane, b, limits| (lane ^ b, lane ^ b <= limits.last))),
    ),
    row(
        "shfl.sync.idx.b32",
        SHUFFLE,
        "d = a of lane b of the segment of c, p = there is one; else its own a",
        Action::Exchange(|exchange| {
            shuffle(exchange, |_, b, limits| {
                let source = limits.first | b & !limits.segment;
                (source, source <= limits.last)
            })
        }),
    ),
    row(
        "vote.sync.all.pred",
        VOTE,
        "d = a holds in all lanes",
        Action::Exchange(|exchange| {
            exchange.to_predicate = all(exchange.lanes & !exchange.predicate == 0);
        }),
    ),
    row(
        "vote.sync.any.pred",
        VOTE,
        "d = a holds in a lane",
        Action::Exchange(|exchange| {
            exchange.to_predicate = all(exchange.lanes & exchange.predicate != 0);
        }),
    ),
    row(
        "vote.sync.uni.pred",
        VOTE,
        "d = a is the same in all lanes",
        Action::Exchange(|exchange| {
            let holds = exchange.lanes & exchange.predicate;
            exchange.to_predicate = all(holds == 0 || holds == exchange.lanes);
        }),
    ),
    row(
        "vote.sync.ballot.b32",
        &[TO_W, P, W],
        "d = the lanes in which a holds",
        Action::Exchange(|exchange| {
            exchange.to_words = [exchange.lanes & exchange.predicate; WARP];
        }),
    ),
    row(
        "match.any.sync.b32",
        &[TO_W, W, W],
        "d = the lanes whose a is the same",
        Action::Exchange(|exchange| {
            match_any(exchange, |exchange, lane| u64::from(exchange.words[0][lane]));
        }),
    ),
    row(
        "match.any.sync.b64",
        &[TO_W, L, W],
        "d = the lanes whose a is the same",
        Action::Exchange(|exchange| {
            match_any(exchange, wide);
        }),
    ),
    row(
        "match.all.sync.b32",
        &[TO_WP, W, W],
        "d = the mask and p = true if a is the same in all lanes, else 0 and false",
        Action::Exchange(|exchange| match_all(exchange, |exchange, lane| u64::from(exchange.words[0][lane]))),
    ),
    row(
        "match.all.sync.b64",
        &[TO_WP, L, W],
        "d = the mask and p = true if a is the same in all lanes, else 0 and false",
        Action::Exchange(|exchange| match_all(exchange, wide)),
    ),
    row(
        "redux.sync.add{.u32|.s32}",
        REDUX,
        "d = the sum of all a, modulo 2^32",
        Action::Exchange(|exchange| {
            reduce(exchange, 0, u32::wrapping_add);
        }),
    ),
    row(
        "redux.sync.min.u32",
        REDUX,
        "d = the least a",
        Action::Exchange(|exchange| reduce(exchange, u32::MAX, u32::min)),
    ),
    row("redux.sync.max.u32", REDUX, "d = the greatest a", Action::Exchange(|exchange| reduce(exchange, 0, u32::max))),
    row(
        "redux.sync.min.s32",
        REDUX,
        "d = the least a",
        Action::Exchange(|exchange| {
            reduce(exchange, i32::MAX as u32, |a, b| (a as i32).min(b as i32) as u32);
        }),
    ),
    row(
        "redux.sync.max.s32",
        REDUX,
        "d = the greatest a",
        Action::Exchange(|exchange| {
            reduce(exchange, i32::MIN as u32, |a, b| (a as i32).max(b as i32) as u32);
        }),
    ),
    row(
        "redux.sync.and.b32",
        REDUX,
        "d = the bits set in all a",
        Action::Exchange(|exchange| {
            reduce(exchange, u32::MAX, |a, b| a & b);
        }),
    ),
    row(
        "redux.sync.or.b32",
        REDUX,
        "d = the bits set in any a",
        Action::Exchange(|exchange| reduce(exchange, 0, |a, b| a | b)),
    ),
    row(
        "redux.sync.xor.b32",
        REDUX,
        "d = the bits set in an odd number of a",
        Action::Exchange(|exchange| {
            reduce(exchange, 0, |a, b| a ^ b);
        }),
    ),
    row(
        "elect.sync",
        &[TO_WP, W],
        "d = the lowest lane of the mask, p = this is it",
        Action::Exchange(|exchange| {
            let first = exchange.lanes.trailing_zeros();
            exchange.to_words = [first; WARP];
            exchange.to_predicate = exchange.lanes & exchange.lanes.wrapping_neg();
        }),
    ),
    row(
        "activemask.b32",
        &[TO_W],
        "d = the lanes that execute this together",
        lane_function!(|lanes, ins| {
            let mask = lanes.mask();
            lanes.set_words(ins.rows[0], &[mask; WARP]);
        }),
    ),
];

const SHUFFLE: &[Operand] = &[TO_WP, W, W, W, W];
const VOTE: &[Operand] = &[TO_P, P, W];
const REDUX: &[Operand] = &[TO_W, W, W];

const fn row(spelling: &'static str, operands: &'static [Operand], meaning: &'static str, action: Action) -> Form {
    Form { spelling, operands, family: Family::Exchange, meaning, action }
}

/// What the third operand of a shuffle says for one lane.
struct Limits {
    /// Bits of the lane number that stay within a segment.
    segment: u32,
    /// The first lane of the segment.
    first: u32,
    /// The last lane that may be read or, for `up`, the first.
    last: u32,
}

/// Each lane takes the word of the lane that `source` names, if it says that this lane may be read, or else its own.
fn shuffle(exchange: &mut Exchange, source: impl Fn(u32, u32, Limits) -> (u32, bool)) {
    for at in lanes_of(exchange.lanes) {
        let lane = at as u32;
        let [a, b, c] = exchange.words.each_ref().map(|row| row[at]);
        let segment = c >> 8 & 31;
        let limits = Limits { segment, first: lane & segment, last: lane & segment | c & 31 & !segment };
        let (from, inside) = source(lane, b & 31, limits);
        if !inside || from >= WARP as u32 {
            exchange.to_words[at] = a;
            exchange.to_predicate &= !(1 << at);
            continue;
        }
        if exchange.lanes >> from & 1 == 0 {
            exchange.fault.get_or_insert_with(|| Box::new(Fault::InactiveSource { lane: at, source: from as usize }));
        }
        exchange.to_words[at] = exchange.words[0][from as usize];
        exchange.to_predicate |= 1 << at;
    }
}

/// A predicate that is the same in every lane.
fn all(holds: bool) -> u32 {
    if holds { u32::MAX } else { 0 }
}

/// A 64-bit operand, which takes the place of two words, the lower first.
fn wide(exchange: &Exchange, lane: usize) -> u64 {
    u64::from(exchange.words[0][lane]) | u64::from(exchange.words[1][lane]) << 32
}

fn match_any(exchange: &mut Exchange, value: impl Fn(&Exchange, usize) -> u64) {
    for lane in lanes_of(exchange.lanes) {
        let own = value(exchange, lane);
        let same = lanes_of(exchange.lanes).filter(|&other| value(exchange, other) == own);
        exchange.to_words[lane] = same.fold(0, |mask, other| mask | 1 << other);
    }
}

fn match_all(exchange: &mut Exchange, value: impl Fn(&Exchange, usize) -> u64) {
    let mut values = lanes_of(exchange.lanes).map(|lane| value(exchange, lane));
    let first = values.next();
    let same = values.all(|value| Some(value) == first);
    exchange.to_words = [if same { exchange.lanes } else { 0 }; WARP];
    exchange.to_predicate = all(same);
}

fn reduce(exchange: &mut Exchange, start: u32, combine: impl Fn(u32, u32) -> u32) {
    let value = lanes_of(exchange.lanes).map(|lane| exchange.words[0][lane]).fold(start, combine);
    exchange.to_words = [value; WARP];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(lanes: u32, a: impl Fn(u32) -> u32, b: u32, c: u32) -> Exchange {
        let row = |value: &dyn Fn(u32) -> u32| std::array::from_fn(|lane| value(lane as u32));
        Exchange {
            lanes,
            words: [row(&a), row(&|_| b), row(&|_| c)],
            predicate: 0,
            to_words: [0; WARP],
            to_predicate: 0,
            fault: None,
        }
    }

    fn run(spelling: &str, exchange: &mut Exchange) {
        let form = FORMS.iter().find(|form| form.spelling == spelling).expect("the form exists");
        let Action::Exchange(function) = form.action else { panic!("{spelling} exchanges") };
        function(exchange);
    }

    #[test]
    fn shuffles_move_within_segments() {
        let full = |b, c| exchange(u32::MAX, |lane| 100 + lane, b, c);
        let mut up = full(3, 0);
        run("shfl.sync.up.b32", &mut up);
        assert_eq!((up.to_words[2], up.to_words[3], up.to_words[31], up.to_predicate), (102, 100, 128, 0xFFFF_FFF8));
        let mut down = full(1, 0x1F);
        run("shfl.sync.down.b32", &mut down);
        assert_eq!(
            (down.to_words[0], down.to_words[30], down.to_words[31], down.to_predicate),
            (101, 131, 131, 0x7FFF_FFFF)
        );
        let mut xor = full(16, 0x1F);
        run("shfl.sync.bfly.b32", &mut xor);
        assert_eq!((xor.to_words[0], xor.to_words[17], xor.to_predicate), (116, 101, u32::MAX));
        // Width 8: the mask is (32 - 8) << 8, and the clamp reaches the end of the segment.
        let mut index = full(5, 0x181F);
        run("shfl.sync.idx.b32", &mut index);
        assert_eq!(
            (index.to_words[0], index.to_words[9], index.to_words[31], index.to_predicate),
            (105, 113, 129, u32::MAX)
        );
        assert_eq!(index.fault, None);
    }

    #[test]
    fn a_shuffle_from_an_absent_lane_is_a_fault() {
        let mut xor = exchange(0x0000_FFFF, |lane| lane, 16, 0x1F);
        run("shfl.sync.bfly.b32", &mut xor);
        assert_eq!(xor.fault.as_deref(), Some(&Fault::InactiveSource { lane: 0, source: 16 }));
    }

    #[test]
    fn only_members_vote_match_and_reduce() {
        let mut some = exchange(0x0F0F, |lane| lane & 1, 0, 0);
        some.predicate = 0xFFFF_0001;
        run("vote.sync.ballot.b32", &mut some);
        assert_eq!(some.to_words[0], 1);
        run("match.any.sync.b32", &mut some);
        assert_eq!(&some.to_words[..4], &[0x0505, 0x0A0A, 0x0505, 0x0A0A]);
        run("match.all.sync.b32", &mut some);
        assert_eq!((some.to_words[0], some.to_predicate), (0, 0));
        run("redux.sync.add{.u32|.s32}", &mut some);
        assert_eq!(some.to_words[8], 4);
        run("redux.sync.min.s32", &mut some);
        assert_eq!(some.to_words[8], 0);
        some.lanes = 0xF0;
        run("elect.sync", &mut some);
        assert_eq!((some.to_words[5], some.to_predicate), (4, 0x10));
    }
}
