//! From templates to text: specialise each file, then pull in by name whatever the room uses.
//!
//! Syntax of templates: `${ value }`, statement lines `//% …`, template comments `//# …`, each on a line of its own. A
//! file of parts is cut at `//# part NAME` lines; a part is in the kernel exactly when its name occurs in what is already
//! there, so nobody keeps include lists and nothing unused can appear.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use crate::kernel::Origin;
use crate::lower::Rules;
use crate::params::{Field, Params};
use crate::plan::{Plan, Room};
use crate::projection;
use crate::registry::{AFTER_PARAMS, ATTENTION, BEFORE_PARAMS, GEMM_O, GEMM_Q, HEADER, SYMBOLS, Template};

/// A kernel's text before its parameter struct is known.
pub(crate) struct Text {
    /// Everything that may read parameters.
    pub(crate) body: String,
    header: String,
    sections: Vec<Section>,
    before: Vec<Section>,
}

/// A stretch of text from one template.
struct Section {
    template: &'static str,
    name: String,
    text: String,
}

/// Specialises the room and pulls in what it uses.
pub(crate) fn render(plan: &Plan, rules: &Rules, fields: &[Field]) -> Text {
    let environment = environment();
    let expand = |template: &Template, step: Value| expand(&environment, template, plan, rules, step);
    let room = match plan.room {
        Room::GemmQ => &GEMM_Q,
        Room::Symbols => &SYMBOLS,
        Room::Attention => &ATTENTION,
        Room::GemmO => &GEMM_O,
    };
    let section = |template: &'static str, text: String| Section { template, name: String::new(), text };
    let of_rules = |text: &String| section("the strategy's rules", text.clone());
    let mut sections = vec![of_rules(&rules.shared_functions)];
    for step in &rules.steps {
        let text = expand(step.template, step.values.clone());
        sections.extend([of_rules(&step.functions), section(step.template.path, text)]);
    }
    sections.extend([of_rules(&rules.functions), section(room.path, expand(room, Value::UNDEFINED))]);
    sections.retain(|section| !section.text.is_empty());
    let parts = AFTER_PARAMS.iter().flat_map(|file| cut(file, &expand(file, Value::UNDEFINED))).collect();
    let sections = pull(parts, sections);
    let body: String = sections.iter().map(|section| section.text.as_str()).collect();

    let declaration = Params::of_text(fields.to_vec(), &body).declaration();
    let tail = vec![Section { template: "", name: String::new(), text: declaration + &body }];
    let parts = BEFORE_PARAMS.iter().flat_map(|file| cut(file, &expand(file, Value::UNDEFINED))).collect();
    let mut before = pull(parts, tail);
    before.pop();
    Text { header: expand(&HEADER, Value::UNDEFINED), body, sections, before }
}

impl Text {
    /// The whole file, and which template each stretch of it comes from.
    pub(crate) fn finish(self, params: &Params) -> (String, Vec<Origin>) {
        let declaration =
            Section { template: "the parameter struct", name: "Params".to_owned(), text: params.declaration() };
        let header = Section { template: HEADER.path, name: String::new(), text: self.header };
        let all = std::iter::once(header).chain(self.before).chain(std::iter::once(declaration)).chain(self.sections);
        let (mut source, mut origins): (String, Vec<Origin>) = (String::new(), Vec::new());
        let mut previous = "";
        for section in all {
            // One-line parts of a file (types, constants) stand together; everything else is set apart by a blank line.
            let one_line = section.text.lines().count() == 1 || section.text.starts_with("constexpr");
            let apart = !one_line || section.template != previous;
            if !source.is_empty() && apart {
                source.push('\n');
            }
            previous = section.template;
            let first_line = source.lines().count() + 1;
            if origins.last().is_none_or(|origin: &Origin| origin.template != section.template) {
                origins.push(Origin { first_line, template: section.template.to_owned() });
            }
            source.push_str(section.text.trim_start_matches('\n'));
        }
        let source = without_blank_runs(&source);
        for leftover in ["${", "//%", "//#", "/*%"] {
            assert!(!source.contains(leftover), "a template left {leftover} in {}", params.fields.len());
        }
        (source, origins)
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .variable_delimiters("${", "}")
        .block_delimiters("/*%", "%*/")
        .comment_delimiters("/*#", "#*/")
        .line_statement_prefix("//%")
        .line_comment_prefix("//#")
        .keep_trailing_newline(true)
        .build()
        .expect("the delimiters are constant and distinct");
    environment.set_syntax(syntax);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    environment
}

/// A template is part of the program: if it does not expand, that is a bug here, reported with its line and variables.
fn expand(environment: &Environment<'_>, template: &Template, plan: &Plan, rules: &Rules, step: Value) -> String {
    // `//# part` lines must survive expansion to be cut at; a template comment would vanish.
    let source = template.text.replace("//# part ", PART);
    environment
        .render_named_str(
            template.path,
            &source,
            context! {
                plan => Serde(plan),
                rules => Serde(rules),
                entry => rules.launches.last().map(|launch| &launch.entry),
                header => header(plan, rules),
                cached => projection::sums_cached_heads_alone(plan),
                step => step,
            },
        )
        .unwrap_or_else(|error| panic!("template {} does not expand: {error:#}", template.path))
}

const PART: &str = "//@part ";

fn cut(file: &Template, text: &str) -> Vec<Section> {
    let mut sections = Vec::new();
    for piece in text.split(PART).skip(1) {
        let (name, text) = piece.split_once('\n').unwrap_or((piece, ""));
        sections.push(Section { template: file.path, name: name.trim().to_owned(), text: text.to_owned() });
    }
    sections
}

/// Adds, in front of `tail`, every part whose name occurs in what is already there, until nothing changes. The parts keep
/// their order.
fn pull(parts: Vec<Section>, tail: Vec<Section>) -> Vec<Section> {
    let mut text: String = tail.iter().map(|section| section.text.as_str()).collect();
    let mut used = vec![false; parts.len()];
    loop {
        let before = used.iter().filter(|&&u| u).count();
        for (part, used) in parts.iter().zip(&mut used) {
            if !*used && has_word(&text, &part.name) {
                *used = true;
                text.push_str(&part.text);
            }
        }
        if used.iter().filter(|&&u| u).count() == before {
            break;
        }
    }
    parts.into_iter().zip(used).filter_map(|(part, used)| used.then_some(part)).chain(tail).collect()
}

/// Whether `word` occurs in the code (not in the comments) of `text` as a whole identifier.
fn has_word(text: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.lines().map(|line| line.split("//").next().unwrap_or("")).any(|line| {
        line.match_indices(word).any(|(at, _)| {
            !line[..at].chars().next_back().is_some_and(in_word)
                && !line[at + word.len()..].chars().next().is_some_and(in_word)
        })
    })
}

fn without_blank_runs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = true;
    for line in text.lines().map(str::trim_end) {
        if !(line.is_empty() && blank) {
            out.push_str(line);
            out.push('\n');
        }
        blank = line.is_empty();
    }
    out
}

/// The lines that open every generated file: what it computes, leaves, skips, and what is absent from it.
fn header(plan: &Plan, rules: &Rules) -> Vec<String> {
    let mut lines = Vec::new();
    let mut absent = Vec::new();
    let length = if plan.ragged { "sequence lengths by index pointer" } else { "one sequence length" };
    match plan.room {
        Room::Symbols => {
            lines.push(if plan.data { "symbols · rules over Q and K" } else { "symbols · static rules" }.to_owned());
            if plan.caches {
                lines.push("computes   S_c, one bit for each query block and head: 0 = reuse".to_owned());
            } else {
                absent.push("S_c: all 1");
            }
            if plan.skips || plan.mask {
                lines.push("computes   S_s, one bit for each block pair and head: 0 = skip".to_owned());
            } else {
                absent.push("S_s: all 1");
            }
            if plan.mask {
                lines.push("computes   S_f, 1 = every token pair of the block pair passes the mask".to_owned());
                lines.push(format!("mask       {}", rules.mask_words));
            } else {
                absent.push("S_f: there is no mask");
            }
            if !rules.steps.is_empty() {
                let first = format!("{}_", plan.name);
                let names = rules.launches.iter().map(|launch| launch.entry.trim_start_matches(&first));
                lines.push(format!("launches   {}", names.collect::<Vec<_>>().join(", ")));
            }
            if plan.data {
                lines.push(format!("shape      D={}, {}; B, H, H_kv, N, N_kv at run time", plan.head_dim, plan.dtype));
            }
            lines.push(format!("blocks     q {}  kv {}", plan.block_q, plan.block_kv));
            lines.push(format!("target     {}   threads {}", plan.target, plan.threads));
        }
        Room::GemmQ | Room::GemmO => return projection::header(plan, rules),
        Room::Attention => {
            lines.push("attention · flash forward over computed block pairs".to_owned());
            lines.push("computes   O = softmax(Q Kᵀ · scale) V and lse, where the cache symbol is 1".to_owned());
            lines.push(match plan.forecast {
                true => "reuses     other blocks: writes Σ coefficient · cached feature, lse = -∞".to_owned(),
                false => "leaves     other blocks to the caller".to_owned(),
            });
            lines.push("skips      kv blocks whose skip symbol is 0".to_owned());
            for (present, words, rule) in
                [(plan.mask, "mask", &rules.mask_words), (plan.score, "score", &rules.score_words)]
            {
                match present {
                    true => lines.push(format!("{words:<10} {rule}")),
                    false => absent.push(if words == "mask" { "token mask" } else { "score rule" }),
                }
            }
            lines.push(format!(
                "shape      D={}, {}; {length}; B, H, H_kv, N, N_kv at run time",
                plan.head_dim, plan.dtype
            ));
            lines.push(format!(
                "blocks     q {}  kv {}      tile  q {}  kv {}",
                plan.block_q, plan.block_kv, plan.tile_q, plan.tile_kv
            ));
            lines.push(format!(
                "target     {}   threads {}   shared {} B",
                plan.target, plan.threads, plan.shared_bytes
            ));
        }
    }
    if !plan.ragged {
        absent.push("ragged batches");
    }
    if !absent.is_empty() {
        lines.push(format!("absent     {}", absent.join(", ")));
    }
    lines
}
