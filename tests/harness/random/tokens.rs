//! Masks and scores.

use super::draft::Condition;
use super::{Form, Frame, Writer};

fn always(_: &Frame) -> bool {
    true
}

/// Atoms of a mask.
const ATOMS: [Form; 11] = [
    (5, always, affine),
    (3, always, periodic),
    (2, always, arithmetic),
    (1, always, wrapping),
    (2, always, floats),
    (2, always, tables),
    (1, always, uniform),
    (3, |frame| frame.tokens != super::Tokens::Unnamed, ranges),
    (6, Frame::has_grid, grid),
    (3, Frame::has_inputs, inputs),
    (4, always, named),
];

/// Scores; `$` stands for the logit.
const SCORES: [Form; 9] = [
    (3, always, |w| format!("$ * {} + {}", w.float(0.25, 1.5), w.float(-1.0, 1.0))),
    (3, always, |_| "$ + bias".to_owned()),
    (2, always, |_| "cap * tanh($ / cap)".to_owned()),
    (2, always, |w| format!("$ - {} * abs(q.pos - kv.pos)", w.one_of(&["slope", "0.015625", "bias"]))),
    (1, always, |w| format!("max($, {}) - slope * kv.pos / 64", w.float(-1.0, 0.0))),
    (1, always, |w| format!("$ / ({} + abs($))", w.float(1.0, 3.0))),
    (2, Frame::has_grid, |w| {
        let axis = w.one_of(&["t", "h", "w", "cell"]);
        format!("$ - {} * abs(q.{axis} - kv.{axis})", w.float(0.0, 0.25))
    }),
    (2, Frame::has_inputs, |w| format!("$ {} gain[{}]", w.one_of(&["+", "-"]), w.one_of(&["q", "kv"]))),
    (3, always, |w| format!("$ {} {}", w.one_of(&["+", "-"]), w.one_of(&SMALL))),
];

/// Named values of a score's size.
const SMALL: [&str; 4] = ["tilt(q)", "pull(kv)", "tilt(q) * pull(kv)", "slope * gap(q, kv) / 64"];

/// Writes a declaration.
type Declare = fn(&mut Writer) -> String;

/// Names of values over tokens, and how their declarations are written.
const NAMED: [(&str, Declare); 8] = [
    ("wide", |w| format!("let wide = {} + {}", w.uniform_int(), w.uniform_int())),
    ("place", |w| format!("let place(q) = {}", w.integer_of(2, &["q"]))),
    ("spot", |w| format!("let spot(kv) = {}", w.integer_of(2, &["kv"]))),
    ("gap", |w| match w.int(0, 2) {
        0 => "let gap(q, kv) = abs(q.pos - kv.pos)".to_owned(),
        1 => "let gap(q, kv) = min(place(q) - spot(kv), 200)".to_owned(),
        _ => format!("let gap(q, kv) = {}", w.integer_of(1, &["q", "kv"])),
    }),
    ("marked_row", |w| format!("let marked_row(q) = {} {} {}", w.integer_of(1, &["q"]), w.comparison(), w.int(0, 60))),
    ("close", |w| format!("let close(q, kv) = gap(q, kv) {} wide || marked_row(q)", w.comparison())),
    ("tilt", |w| format!("let tilt(q) = {} * float(clamp(q.pos, 0, {}))", w.float(-0.05, 0.05), w.int(5, 60))),
    ("pull", |w| format!("let pull(kv) = tanh(kv.pos / {})", w.float(8.0, 90.0))),
];

impl Writer {
    /// Atoms under `&&`, `||`, `!` and `==`, nested at most so deep.
    pub(super) fn condition(&mut self, depth: u32, atom: fn(&mut Writer) -> String) -> Condition {
        if depth == 0 || self.chance(0.25) {
            return Condition::Atom(atom(self));
        }
        let parts = self.int(2, 3);
        let inner = |w: &mut Writer| w.condition(depth - 1, atom);
        match self.int(0, 11) {
            0..5 => Condition::And((0..parts).map(|_| inner(self)).collect()),
            5..10 => Condition::Or((0..parts).map(|_| inner(self)).collect()),
            10 => Condition::Not(inner(self).into()),
            _ => Condition::Same([inner(self), inner(self)].into()),
        }
    }

    /// A condition over a token pair, without parts that join others.
    pub(super) fn token_atom(&mut self) -> String {
        self.write(&ATOMS)
    }

    /// What replaces the logit `s`.
    pub(super) fn score(&mut self) -> String {
        let score = self.write(&SCORES);
        match self.chance(0.3) {
            true => score.replace('$', &format!("({})", self.write(&SCORES))).replace('$', "s"),
            false => score.replace('$', "s"),
        }
    }

    /// An integer that is the same for all pairs.
    pub(super) fn uniform_int(&mut self) -> String {
        match self.int(0, 9) {
            0 => "reach".to_owned(),
            1 => "width".to_owned(),
            2 => "shift".to_owned(),
            3 => format!("head * {}", self.int(1, 40)),
            4 => format!("step + {}", self.int(0, 20)),
            _ => self.int(0, 120).to_string(),
        }
    }

    /// Declarations of named values; a text has those that it reads.
    pub(super) fn named_values(&mut self) -> Vec<(String, String)> {
        NAMED.iter().map(|(name, write)| ((*name).to_owned(), write(self))).collect()
    }

    fn integer(&mut self, depth: u32) -> String {
        self.integer_of(depth, &["q", "kv"])
    }

    /// Of these tokens.
    fn integer_of(&mut self, depth: u32, sides: &[&str]) -> String {
        if depth > 0 && self.chance(0.8) {
            let a = self.integer_of(depth - 1, sides);
            let other = self.integer_of(depth - 1, sides);
            return match self.int(0, 11) {
                0..3 => format!("({a} + {other})"),
                3..5 => format!("({a} - {other})"),
                5 => format!("({a} * {})", self.int(-3, 5)),
                6 => format!("({a} / {})", self.int(2, 17)),
                7 => format!("({a} % {})", self.int(2, 17)),
                8 => format!("{}({a}, {other})", self.one_of(&["min", "max"])),
                9 => format!("abs({a})"),
                10 => format!("clamp({a}, {}, {})", self.int(-20, 10), self.int(11, 90)),
                _ => format!("({a} / max(1, abs({other})))"),
            };
        }
        let side = self.one_of(sides);
        match self.int(0, 9) {
            0..5 => format!("{side}.pos"),
            5 | 6 if self.frame.has_grid() => format!("{side}.{}", self.one_of(&["t", "h", "w", "cell", "frame"])),
            7 if self.frame.has_inputs() => format!("document[{side}]"),
            8 => self.one_of(&["head", "step", "layer", "batch", "block_q", "period"]).to_owned(),
            _ => self.uniform_int(),
        }
    }
}

fn affine(w: &mut Writer) -> String {
    let (op, bound) = (w.comparison(), w.uniform_int());
    match w.int(0, 7) {
        0..3 => format!("abs(q.pos - kv.pos) {op} {bound}"),
        3 => format!("kv.pos {op} q.pos + {bound}"),
        4 => format!("{} * q.pos - {} * kv.pos {op} {bound}", w.int(1, 4), w.int(1, 4)),
        5 => format!("clamp(q.pos - kv.pos, {}, {}) {op} {bound}", w.int(-50, 0), w.int(1, 50)),
        6 => format!("min(q.pos, {bound}) {op} max(kv.pos, {})", w.int(0, 90)),
        _ => format!("q.pos + kv.pos {op} {bound} * 2"),
    }
}

fn periodic(w: &mut Writer) -> String {
    let (op, n, rest) = (w.comparison(), w.int(2, 33), w.int(0, 9));
    match w.int(0, 5) {
        0 => format!("(q.pos - kv.pos) % {n} {op} {rest}"),
        1 => format!("q.pos / {n} {op} kv.pos / {n}"),
        2 => format!("(q.pos + kv.pos) % period {op} {rest}"),
        3 => format!("kv.pos % {n} {op} q.pos / {n}"),
        4 => format!("bit_length(q.pos - kv.pos) {op} {rest}"),
        _ => format!("q.pos / block_q {op} kv.pos / block_q"),
    }
}

fn arithmetic(w: &mut Writer) -> String {
    let (a, op, b) = (w.integer(2), w.comparison(), w.integer(1));
    format!("{a} {op} {b}")
}

/// Integers that leave 32 bits.
fn wrapping(w: &mut Writer) -> String {
    let (op, big) = (w.comparison(), w.int(1 << 20, i64::from(i32::MAX)));
    match w.int(0, 5) {
        0 => format!("q.pos + far {op} kv.pos"),
        1 => format!("q.pos * far {op} kv.pos * {big}"),
        2 => format!("(kv.pos + far) % {} {op} {}", w.int(2, 33), w.int(-3, 3)),
        3 => format!("abs(q.pos - far - {big}) {op} {}", w.int(0, 1 << 30)),
        4 => format!("(q.pos * {big} + kv.pos * far) / {} {op} 0", w.int(2, 1 << 20)),
        _ => format!("bit_length(kv.pos * far) {op} {}", w.int(20, 31)),
    }
}

fn floats(w: &mut Writer) -> String {
    let (op, a, b) = (w.comparison(), w.float(0.1, 2.0), w.float(-20.0, 20.0));
    match w.int(0, 7) {
        0 => format!("q.pos * {a} {op} kv.pos * {} + {b}", w.float(0.1, 2.0)),
        1 => format!("q.pos * slope {op} kv.pos + {b}"),
        2 => format!("sqrt(float(abs(q.pos - kv.pos))) {op} {}", w.float(1.0, 12.0)),
        3 => format!("(q.pos + 0.5) / (kv.pos + {a}) {op} {}", w.float(0.25, 3.0)),
        4 => format!("floor(q.pos * {a}) {op} ceil(kv.pos * {})", w.float(0.1, 2.0)),
        5 => format!("log2(float(abs(q.pos - kv.pos)) + 1.5) {op} {}", w.float(2.0, 7.0) + 0.003),
        6 if w.frame.has_grid() => {
            let axis = w.one_of(&["t", "h", "w", "cell"]);
            format!("q.{axis} * {a} {op} kv.{axis} * {}", w.float(0.1, 2.0))
        }
        _ => format!("max(q.pos * {a}, {}) {op} kv.pos - {b}", w.float(0.0, 60.0)),
    }
}

fn tables(w: &mut Writer) -> String {
    let op = w.comparison();
    match w.int(0, 3) {
        0 => format!("abs(q.pos - kv.pos) {op} width"),
        1 => "chosen".to_owned(),
        2 => format!("method {} {}", w.one_of(&["==", "!="]), w.one_of(&["full", "local", "off"])),
        _ => format!("(q.pos - kv.pos) * bias {op} {}", w.float(-20.0, 20.0)),
    }
}

/// By the names of values.
fn named(w: &mut Writer) -> String {
    let op = w.comparison();
    match w.int(0, 7) {
        0 => format!("place(q) {op} spot(kv)"),
        1 => format!("place(q) - wide {op} kv.pos"),
        2 => format!("gap(q, kv) {op} wide"),
        3 => "marked_row(q)".to_owned(),
        4 => "close(q, kv)".to_owned(),
        5 => format!("abs(place(q) - spot(kv)) {op} {}", w.int(0, 40)),
        6 => format!("tilt(q) {op} pull(kv)"),
        _ => format!("max(spot(kv), wide) {op} q.pos"),
    }
}

fn uniform(w: &mut Writer) -> String {
    let op = w.comparison();
    match w.int(0, 6) {
        0 => format!("head % 2 {op} 1"),
        1 => format!("step {op} {}", w.int(1, 8)),
        2 => "batch == 0".to_owned(),
        3 => "causal".to_owned(),
        4 => format!("layer % 2 {op} 1"),
        5 => format!("step / steps {op} {}", w.float(0.1, 0.9)),
        _ => format!("since_update {op} {}", w.int(1, 3)),
    }
}

fn ranges(w: &mut Writer) -> String {
    format!("{} in {}", w.one_of(&["q", "kv"]), w.one_of(&["text", "vision"]))
}

fn grid(w: &mut Writer) -> String {
    let op = w.comparison();
    let (axis, other) = (w.one_of(&["t", "h", "w", "cell", "frame"]), w.one_of(&["t", "h", "w"]));
    let reach = if axis == "cell" { w.int(0, 24) } else { w.int(0, 4) };
    let tiles = match w.frame.tokens {
        super::Tokens::Tiled(_) => 4,
        _ => 0,
    };
    match w.int(0, 8 + tiles) {
        0 | 1 => format!("abs(q.{axis} - kv.{axis}) <= {reach}"),
        2 => format!("q.{axis} {op} kv.{axis}"),
        3 => format!("{}.{axis} {op} {reach}", w.one_of(&["q", "kv"])),
        4 => format!("abs(q.cell - kv.cell) <= {} / max(1, abs(q.t - kv.t))", w.int(0, 30)),
        5 => format!("bit_length(abs(q.{axis} - kv.{axis})) {op} {}", w.int(1, 3)),
        6 => format!("(q.{axis} + kv.{other}) % {} {op} {}", w.int(2, 5), w.int(0, 2)),
        7 => format!("abs(q.h - kv.h) <= {} && abs(q.w - kv.w) <= {}", w.int(0, 3), w.int(0, 4)),
        8 => format!("{}.cell {op} frame_len / {}", w.one_of(&["q", "kv"]), w.int(2, 4)),
        9 | 10 => "near(q.tile, kv.tile, window)".to_owned(),
        _ => format!("near(q.tile, kv.tile, ({}, {}, {}))", w.int(1, 3), w.int(1, 3), w.int(0, 4)),
    }
}

fn inputs(w: &mut Writer) -> String {
    let (op, side) = (w.comparison(), w.one_of(&["q", "kv"]));
    match w.int(0, 5) {
        0 | 1 => format!("document[q] {op} document[kv]"),
        2 => format!("abs(document[q] - document[kv]) {op} {}", w.int(0, 3)),
        3 => format!("gain[{side}] {op} {}", w.float(-1.5, 1.5)),
        4 => format!("gain[q] * gain[kv] {op} {}", w.float(-1.0, 1.0)),
        _ => format!("marked[{side}]"),
    }
}
