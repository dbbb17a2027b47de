//! From templates to text: specialise each file, then pull in by name whatever the room uses.
//!
//! Syntax of templates: `${ value }`, statement lines `//% …`, template comments `//# …`, each on a line of its own. A
//! file of parts is cut at `//# part NAME` lines; a part is in the kernel exactly when its name occurs in what is already
//! there, so nobody keeps include lists and nothing unused can appear.
//!
//! Templates are read once in a process; a part is specialised when it is pulled in, so a text costs what is in it.

use std::collections::HashSet;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use crate::kernel::Origin;
use crate::lower::Rules;
use crate::params::{Field, Params};
use crate::plan::{Plan, Room};
use crate::projection;
use crate::registry::{AFTER_PARAMS, ATTENTION, BEFORE_PARAMS, FILES, GEMM_O, GEMM_Q, HEADER, SYMBOLS, Template};

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
    text: String,
}

/// A part of a file of parts; its name is that of its template, too.
struct Part {
    file: &'static str,
    name: &'static str,
}

/// All templates, read.
struct Library {
    environment: Environment<'static>,
    before_params: Vec<Part>,
    after_params: Vec<Part>,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(Library::new);

/// Specialises the room and pulls in what it uses.
pub(crate) fn render(plan: &Plan, rules: &Rules, fields: &[Field]) -> Text {
    let expander = Expander::new(plan, rules);
    let room = match plan.room {
        Room::GemmQ => &GEMM_Q,
        Room::Symbols => &SYMBOLS,
        Room::Attention => &ATTENTION,
        Room::GemmO => &GEMM_O,
    };
    let of_rules = |text: &String| Section { template: "the strategy's rules", text: text.clone() };
    let of_file =
        |file: &Template, step: Value| Section { template: file.path, text: expander.of_step(file.path, step) };
    let mut sections = vec![of_rules(&rules.shared_functions)];
    for step in &rules.steps {
        sections.extend([of_rules(&step.functions), of_file(step.template, step.values.clone())]);
    }
    sections.extend([of_rules(&rules.functions), of_file(room, Value::UNDEFINED)]);
    sections.retain(|section| !section.text.is_empty());
    let texts: Vec<&str> = sections.iter().map(|section| section.text.as_str()).collect();
    let mut pulled = pull(&LIBRARY.after_params, &texts, &expander);
    pulled.append(&mut sections);
    let sections = pulled;
    let body: String = sections.iter().map(|section| section.text.as_str()).collect();

    let declaration = Params::of_text(fields.to_vec(), &body).declaration();
    let before = pull(&LIBRARY.before_params, &[&declaration, &body], &expander);
    Text { header: expander.expand(HEADER.path), body, sections, before }
}

impl Text {
    /// The whole file, and which template each stretch of it comes from.
    pub(crate) fn finish(self, params: &Params) -> (String, Vec<Origin>) {
        // Users' docs stand in the declaration alone, and may hold what they like.
        let made = [&self.before, &self.sections].into_iter().flatten();
        for text in made.map(|section| section.text.as_str()).chain([self.header.as_str()]) {
            for leftover in ["${", "//%", "//#", "/*%"] {
                assert!(!text.contains(leftover), "a template left {leftover} in {text}");
            }
        }
        let declaration = Section { template: "the parameter struct", text: params.declaration() };
        let header = Section { template: HEADER.path, text: self.header };
        let all = std::iter::once(header).chain(self.before).chain(std::iter::once(declaration)).chain(self.sections);
        let (mut source, mut origins): (String, Vec<Origin>) = (String::new(), Vec::new());
        let (mut previous, mut lines) = ("", 0);
        for section in all {
            // One-line parts of a file (types, constants) stand together; everything else is set apart by a blank line.
            let one_line = section.text.lines().count() == 1 || section.text.starts_with("constexpr");
            let apart = !one_line || section.template != previous;
            if !source.is_empty() && apart {
                source.push('\n');
                lines += 1;
            }
            previous = section.template;
            if origins.last().is_none_or(|origin: &Origin| origin.template != section.template) {
                origins.push(Origin { first_line: lines + 1, template: section.template.to_owned() });
            }
            let text = section.text.trim_start_matches('\n');
            lines += text.matches('\n').count();
            source.push_str(text);
        }
        (without_blank_runs(&source), origins)
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

impl Library {
    fn new() -> Library {
        let mut environment = environment();
        let mut add = |name: &'static str, text: &'static str| {
            environment
                .add_template(name, text)
                .unwrap_or_else(|error| panic!("template {name} cannot be read: {error:#}"));
        };
        for file in FILES {
            add(file.path, file.text);
        }
        let mut parts = |files: &'static [Template]| {
            let mut parts = Vec::new();
            for file in files {
                for piece in file.text.split("//# part ").skip(1) {
                    let (name, text) = piece.split_once('\n').unwrap_or((piece, ""));
                    add(name.trim(), text);
                    parts.push(Part { file: file.path, name: name.trim() });
                }
            }
            parts
        };
        let (before_params, after_params) = (parts(&BEFORE_PARAMS), parts(&AFTER_PARAMS));
        Library { environment, before_params, after_params }
    }
}

/// What templates of one kernel read.
struct Expander {
    values: Value,
}

impl Expander {
    fn new(plan: &Plan, rules: &Rules) -> Expander {
        let values = context! {
            plan => Serde(plan),
            rules => Serde(rules),
            entry => rules.launches.last().map(|launch| &launch.entry),
            header => header(plan, rules),
            cached => projection::sums_cached_heads_alone(plan),
            step => Value::UNDEFINED,
        };
        Expander { values }
    }

    fn of_step(&self, template: &str, step: Value) -> String {
        self.expand_with(template, context! { step, ..self.values.clone() })
    }

    fn expand(&self, template: &str) -> String {
        self.expand_with(template, self.values.clone())
    }

    /// A template is part of the program: if it does not expand, that is a bug here, reported with its line and variables.
    fn expand_with(&self, template: &str, values: Value) -> String {
        let read = LIBRARY.environment.get_template(template);
        read.and_then(|template| template.render(values))
            .unwrap_or_else(|error| panic!("template {template} does not expand: {error:#}"))
    }
}

/// Every part whose name occurs in these texts, or in a part that does, in the order of the parts.
fn pull(parts: &[Part], texts: &[&str], expander: &Expander) -> Vec<Section> {
    let mut known: HashSet<String> = texts.iter().flat_map(|text| words(text)).map(str::to_owned).collect();
    let mut pulled: Vec<Option<String>> = parts.iter().map(|_| None).collect();
    loop {
        let before = pulled.iter().flatten().count();
        for (part, pulled) in parts.iter().zip(&mut pulled) {
            if pulled.is_none() && known.contains(part.name) {
                let text = expander.expand(part.name);
                known.extend(words(&text).map(str::to_owned));
                *pulled = Some(text);
            }
        }
        if pulled.iter().flatten().count() == before {
            break;
        }
    }
    let pairs = parts.iter().zip(pulled);
    pairs.filter_map(|(part, text)| Some(Section { template: part.file, text: text? })).collect()
}

/// The identifiers, keywords and numbers of a text, without its comments.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    code.flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))).filter(|word| !word.is_empty())
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
