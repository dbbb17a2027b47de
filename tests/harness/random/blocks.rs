//! Block rules, maps and schedules.

use super::draft::{Draft, Rule};
use super::{Batch, Form, Frame, Tokens, Writer};

/// Maps that conditions may read; a text has those that it names.
const MAPS: [(&str, &str); 9] = [
    ("dots", "let dots = pool(Q) . pool(K) / sqrt(D)"),
    ("centered", "let centered = pool(Q) . pool(center(K))"),
    ("alike", "let alike = selfsim(K)"),
    ("rows", "let rows[q] = mean(kv: dots[q, kv])"),
    ("tops", "let tops[q] = max(kv where kv.block % 2 == 0: dots[q, kv])"),
    ("shared", "let shared[q, kv] = mean(head: dots[q, kv])"),
    ("shares", "let shares[q, kv] = softmax(kv: dots[q, kv])"),
    ("weighed", "let weighed[q, kv] = softmax(kv where kv.block <= q.block + 1 weight kv.len: centered[q, kv])"),
    (
        "slanted",
        "let slanted[q, kv] = blocksum(softmax(kv where kv.block <= q.block + 4: antidiag(Q, K, 8) / (8 * sqrt(D))))",
    ),
];

fn always(_: &Frame) -> bool {
    true
}

fn has_ranges(frame: &Frame) -> bool {
    frame.tokens != Tokens::Unnamed
}

fn has_data(frame: &Frame) -> bool {
    frame.batch != Batch::Ragged
}

/// Conditions over (q, kv).
const PAIR_ATOMS: [Form; 6] = [
    (5, always, of_blocks),
    (2, has_ranges, |w| format!("{} in {}", w.one_of(&["q", "kv"]), w.one_of(&["text", "vision"]))),
    (3, Frame::has_tiles_of_blocks, |w| match w.chance(0.5) {
        true => "near(q.tile, kv.tile, window)".to_owned(),
        false => format!("near(q.tile, kv.tile, ({}, {}, {}))", w.int(1, 3), w.int(1, 3), w.int(1, 4)),
    }),
    (2, always, covered),
    (5, has_data, of_data),
    (2, always, uniform),
];

/// Conditions over q.
const ROW_ATOMS: [Form; 5] = [
    (3, always, |w| format!("q.block % {} {} {}", w.int(2, 4), w.comparison(), w.int(0, 2))),
    (2, always, |w| format!("q.block {} {}", w.comparison(), w.int(0, 3))),
    (1, has_ranges, |w| format!("q in {}", w.one_of(&["text", "vision"]))),
    (4, has_data, rows_of_data),
    (2, always, uniform),
];

impl Writer {
    /// A whole strategy.
    pub(super) fn draft(&mut self) -> Draft {
        let mut draft = Draft::default();
        draft.lets.extend(MAPS.map(|(name, text)| (name.to_owned(), text.to_owned())));
        draft.lets.push(("late".to_owned(), "let late = step >= steps / 2 || layer == 0".to_owned()));
        draft.lets.push(("beat".to_owned(), "let beat = max(layer, 1)".to_owned()));
        draft.lets.extend(self.named_values());
        if self.chance(0.65) {
            let depth = self.int(0, 3) as u32;
            draft.mask = Some(self.condition(depth, Writer::token_atom));
        }
        if self.chance(0.3) {
            draft.score = Some(self.score());
        }
        if draft.mask.is_none() || self.chance(0.5) {
            self.rules(&mut draft);
        }
        let caches = draft.rules.iter().any(|rule| rule.head.starts_with("cache"));
        if caches || self.chance(0.3) {
            let when = self.one_of(&[
                "since_update == 3",
                "step < 2 || since_update == period",
                "step % 4 == 0",
                "since_update >= 2 && step % 2 == 1 || step == steps - 1",
            ]);
            draft.schedule.push(format!("update when {when}"));
            if self.chance(0.2) {
                draft.schedule.push("dense when layer == 3 && step < 1".to_owned());
            }
        }
        let (by_tile, by_order) = (self.chance(0.25), self.chance(0.05));
        draft.permute = match self.frame.tokens {
            Tokens::Tiled(_) if by_tile => Some("permute vision by tile".to_owned()),
            _ if self.frame.batch == Batch::Uniform && by_order => Some("permute by order".to_owned()),
            _ => None,
        };
        draft
    }

    fn rules(&mut self, draft: &mut Draft) {
        let count = self.int(1, 3);
        // Either pairs are skipped, some of them kept after all; or they are kept, and others skipped.
        let keeps = self.chance(0.4);
        for n in 0..count {
            let action = match (n, keeps) {
                (0, true) => "keep",
                (0, false) => "skip",
                _ => self.one_of(&["skip", "keep"]),
            };
            let [q, kv] = [self.range(), self.range()];
            let condition = self.condition(if n == 0 { 2 } else { 1 }, |w| w.write(&PAIR_ATOMS));
            let head = format!("{action} q{q}, kv{kv}");
            draft.rules.push(Rule { head, condition: Some(condition), tail: String::new() });
        }
        if keeps {
            draft.rules.push(Rule { head: "otherwise skip".to_owned(), condition: None, tail: String::new() });
        }
        if self.chance(0.35) {
            let condition = self.condition(1, |w| w.write(&ROW_ATOMS));
            let tail = match self.frame.order {
                0 => String::new(),
                order => format!(" by taylor({order})"),
            };
            draft.rules.push(Rule { head: format!("cache q{}", self.range()), condition: Some(condition), tail });
            if self.chance(0.3) {
                let condition = self.condition(1, |w| w.write(&ROW_ATOMS));
                let head = format!("compute q{}", self.range());
                draft.rules.push(Rule { head, condition: Some(condition), tail: String::new() });
            }
        }
    }

    fn range(&mut self) -> &'static str {
        match has_ranges(&self.frame) {
            true => self.one_of(&["", "", "", " in text", " in vision", " in vision"]),
            false => "",
        }
    }
}

fn of_blocks(w: &mut Writer) -> String {
    let (op, n) = (w.comparison(), w.int(2, 4));
    match w.int(0, 8) {
        0..3 => format!("abs(q.block - kv.block) {op} {}", w.int(1, 3)),
        3 => format!("(q.block + {} * kv.block) % {n} {op} {}", w.int(1, 3), w.int(0, 2)),
        4 => format!("q.block * block_q / block_kv {op} kv.block"),
        5 => format!("kv.len {} block_kv", w.one_of(&["<", "=="])),
        6 => format!("(q.block - kv.block) % beat {op} head % {n}"),
        7 => format!("kv.block {op} {}", w.int(1, 3)),
        _ => format!("q.block - kv.block {op} step % 3"),
    }
}

fn uniform(w: &mut Writer) -> String {
    match w.int(0, 4) {
        0 => "late".to_owned(),
        1 => format!("head % 2 {} 1", w.comparison()),
        2 => format!("method != {}", w.one_of(&["full", "local", "off"])),
        3 => format!("step % 3 {} 1", w.comparison()),
        _ => "chosen".to_owned(),
    }
}

fn covered(w: &mut Writer) -> String {
    let rule = match w.int(0, 3) {
        0 | 1 => "any".to_owned(),
        2 => "all".to_owned(),
        _ => format!("fraction({}, {})", w.float(0.1, 0.9), w.float(0.1, 0.9)),
    };
    let frames = if w.frame.has_grid() && w.chance(0.4) { " per frame" } else { "" };
    let condition = w.condition(1, Writer::token_atom);
    format!("cover({rule}{frames}: {})", condition.text())
}

fn of_data(w: &mut Writer) -> String {
    let map = w.one_of(&["dots", "centered", "shared", "shares", "weighed", "slanted"]);
    let head = if w.chance(0.25) { " per head" } else { "" };
    let direction = w.one_of(&["ascending", "descending"]);
    let op = w.one_of(&["<", "<=", ">", ">="]);
    match w.int(0, 9) {
        0 | 1 => format!("{map}[q, kv] {op} mean(kv: {map}[q, kv])"),
        2 => format!("{direction}_rank({map}[q, kv]{head}) {op} few"),
        3 => {
            let first = w.one_of(&["", ", first: kv.block == 0", ", first: kv.block == q.block || kv.len < block_kv"]);
            format!("{direction}_rank({map}[q, kv]{first}) {op} few")
        }
        4 => format!("{direction}_mass(shares[q, kv]) <= tau at least {}", w.int(1, 2)),
        5 => format!("{direction}_mass_before(shares[q, kv], first: kv.block == q.block) {op} tau"),
        // Of values of both signs a mass is a difference of larger numbers, and as inexact as they are.
        6 => {
            let map = w.one_of(&["shares", "weighed", "slanted"]);
            format!("{direction}_mass({map}[q, kv]) {op} tau * sum(kv: {map}[q, kv])")
        }
        7 => format!("{map}[q, kv] >= percentile({map}[q, kv]{head}, {})", w.float(0.1, 0.9)),
        8 => format!("alike[kv] {op} mean(kv: alike[kv])"),
        _ => format!("{map}[q, kv] {op} max(kv where kv.block <= q.block: {map}[q, kv]) * 0.75"),
    }
}

fn rows_of_data(w: &mut Writer) -> String {
    let map = w.one_of(&["rows", "tops", "selfsim(Q)"]);
    let head = if w.chance(0.25) { " per head" } else { "" };
    let direction = w.one_of(&["ascending", "descending"]);
    let op = w.one_of(&["<", "<=", ">", ">="]);
    match w.int(0, 3) {
        0 => format!("{direction}_rank({map}[q]{head}) {op} few"),
        1 => format!("{direction}_mass(softmax(q: {map}[q])) {op} tau"),
        2 => format!("{map}[q] {op} mean(q: {map}[q])"),
        _ => format!("{map}[q] >= percentile({map}[q], {})", w.float(0.1, 0.9)),
    }
}
