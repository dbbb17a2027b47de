//! The clauses of a random strategy; what they name is declared when the text is made.

use super::{Frame, Tokens};

/// Clauses without their declarations.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// Name, and the clause.
    pub(super) lets: Vec<(String, String)>,
    pub(super) mask: Option<Condition>,
    pub(super) score: Option<String>,
    pub(super) rules: Vec<Rule>,
    pub(super) schedule: Vec<String>,
    pub(super) permute: Option<String>,
}

/// `HEAD where CONDITION TAIL;`
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) head: String,
    pub(super) condition: Option<Condition>,
    pub(super) tail: String,
}

/// Atoms under `&&`, `||`, `!` and `==`.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Atom(String),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Same(Box<[Condition; 2]>),
}

/// Declarations beside ranges; those are in a text whose names it reads.
const DECLARATIONS: [(&str, &str); 18] = [
    ("reach", "param reach: i32 = 40"),
    ("shift", "param shift: i32 in -100..=100 = -3"),
    ("period", "param period: u32 in 1.. = 5"),
    ("few", "param few: u32 in 1.. = 2"),
    ("far", "param far: i32 = 2147483600"),
    ("slope", "param slope: f32 = 0.375"),
    ("cap", "param cap: f32 in 0.5.. = 8"),
    ("tau", "param tau: f32 in 0.0..=1.0 = 0.5"),
    ("causal", "param causal: bool = true"),
    ("width", "table width: [head] of i32"),
    ("bias", "table bias: [layer, head] of f32"),
    ("chosen", "table chosen: [step, head] of bool"),
    ("window", "table window: [step, layer, head] of (u32, u32, u32)"),
    ("method", "table method: [head] of { full, local, off }"),
    ("document", "input document: [token] of i32"),
    ("gain", "input gain: [token] of f32"),
    ("marked", "input marked: [token] of bool"),
    ("order", "input order: [token] of u32"),
];

/// Words after which a text speaks of ranges.
const RANGE_WORDS: [&str; 9] = ["text", "vision", "frame", "cell", "tile", "frame_len", "t", "h", "w"];

impl Draft {
    /// The whole strategy.
    pub(super) fn text(&self, frame: &Frame) -> String {
        let mut body = Vec::new();
        body.extend(self.permute.clone());
        body.extend(self.mask.as_ref().map(|mask| format!("mask q, kv => {}", mask.text())));
        body.extend(self.score.as_ref().map(|score| format!("score s, q, kv => {score}")));
        body.extend(self.rules.iter().map(Rule::text));
        body.extend(self.schedule.clone());
        let mut clauses: Vec<String> = Vec::new();
        for (name, text) in self.lets.iter().rev() {
            if body.iter().chain(&clauses).any(|clause| names(clause, name)) {
                clauses.insert(0, text.clone());
            }
        }
        clauses.extend(body);
        let read = |name: &str| clauses.iter().any(|clause| names(clause, name));
        let mut declared: Vec<String> =
            DECLARATIONS.iter().filter(|(name, _)| read(name)).map(|(_, text)| (*text).to_owned()).collect();
        if RANGE_WORDS.iter().any(|word| read(word)) {
            declared.extend(frame.declared_tokens());
        }
        let lines: String = declared.iter().chain(&clauses).map(|clause| format!("    {clause};\n")).collect();
        let [q, kv] = frame.blocks;
        format!("pub Random {{\n    blocks q = {q}, kv = {kv};\n{lines}}}\n")
    }

    /// Each with one thing less.
    pub(super) fn smaller(&self) -> Vec<Draft> {
        let mut out = Vec::new();
        if self.mask.is_some() {
            out.push(Draft { mask: None, ..self.clone() });
        }
        if self.score.is_some() {
            out.push(Draft { score: None, ..self.clone() });
        }
        if self.permute.is_some() {
            out.push(Draft { permute: None, ..self.clone() });
        }
        for n in 0..self.rules.len() {
            let mut draft = self.clone();
            draft.rules.remove(n);
            out.push(draft);
        }
        for n in 0..self.schedule.len() {
            let mut draft = self.clone();
            draft.schedule.remove(n);
            out.push(draft);
        }
        for mask in self.mask.iter().flat_map(Condition::smaller) {
            out.push(Draft { mask: Some(mask), ..self.clone() });
        }
        for (n, rule) in self.rules.iter().enumerate() {
            for condition in rule.condition.iter().flat_map(Condition::smaller) {
                let mut draft = self.clone();
                draft.rules[n].condition = Some(condition);
                out.push(draft);
            }
        }
        out
    }
}

impl Rule {
    fn text(&self) -> String {
        let condition = self.condition.as_ref().map(|condition| format!(" where {}", condition.text()));
        format!("{}{}{}", self.head, condition.unwrap_or_default(), self.tail)
    }
}

impl Condition {
    pub(super) fn text(&self) -> String {
        let join = |parts: &[Condition], with: &str| parts.iter().map(Condition::inner).collect::<Vec<_>>().join(with);
        match self {
            Condition::Atom(text) => text.clone(),
            Condition::Not(inner) => format!("!({})", inner.text()),
            Condition::And(parts) => join(parts, " && "),
            Condition::Or(parts) => join(parts, " || "),
            Condition::Same(parts) => format!("({}) == ({})", parts[0].text(), parts[1].text()),
        }
    }

    fn inner(&self) -> String {
        let text = self.text();
        match text.contains(" && ") || text.contains(" || ") || matches!(self, Condition::Same(_)) {
            true => format!("({text})"),
            false => text,
        }
    }

    fn smaller(&self) -> Vec<Condition> {
        match self {
            Condition::Atom(_) => Vec::new(),
            Condition::Not(inner) => {
                let mut out = vec![(**inner).clone()];
                out.extend(inner.smaller().into_iter().map(|inner| Condition::Not(inner.into())));
                out
            }
            Condition::And(parts) | Condition::Or(parts) => {
                let again = |parts| match self {
                    Condition::And(_) => Condition::And(parts),
                    _ => Condition::Or(parts),
                };
                let mut out = parts.clone();
                for (n, part) in parts.iter().enumerate() {
                    let mut fewer = parts.clone();
                    fewer.remove(n);
                    out.extend((fewer.len() > 1).then(|| again(fewer)));
                    for smaller in part.smaller() {
                        let mut parts = parts.clone();
                        parts[n] = smaller;
                        out.push(again(parts));
                    }
                }
                out
            }
            Condition::Same(parts) => parts.to_vec(),
        }
    }
}

impl Frame {
    fn declared_tokens(&self) -> Option<String> {
        let vision = match self.tokens {
            Tokens::Unnamed => return None,
            Tokens::Plain => "vision".to_owned(),
            Tokens::Raster => "vision(t, h, w)".to_owned(),
            Tokens::Tiled([t, h, w]) => format!("vision(t, h, w) tiled ({t}, {h}, {w})"),
        };
        Some(match self.text_is_declared_first {
            true => format!("tokens text, {vision}"),
            false => format!("tokens {vision}, text"),
        })
    }
}

/// Whether a name occurs as a word.
pub(super) fn names(text: &str, name: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
}
