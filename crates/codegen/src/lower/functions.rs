//! Functions over blocks and launches, in the order in which a text needs them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use sparsym_ir::expr::{Axis, Side};
use sparsym_ir::strategy::{BlockRule, RangeId, When};

use super::body::{Body, Word, call_of, define, signature};
use super::cuda::{Cuda, call, field, name};
use super::work::Work;
use crate::kernel::{GridAxis, Part, Step};
use crate::params::Buffer;
use crate::plan::SymbolsPlan;
use crate::text::Template;

/// Functions and launches, in the order in which a text needs them.
pub(crate) struct Builder<'a> {
    /// The kernel's name.
    kernel: &'a str,
    pub(super) plan: &'a SymbolsPlan,
    /// Functions since the last part.
    pub(super) functions: RefCell<Vec<String>>,
    /// Name and body of every function.
    pub(super) known: RefCell<Vec<Function>>,
    /// Launches before those of the work.
    pub(super) steps: RefCell<Vec<Step>>,
    pub(super) works: RefCell<Vec<Work>>,
    pub(super) cuts: RefCell<Vec<Buffer>>,
    /// Ranges of which some function asks whether a block belongs to them.
    pub(super) asked_ranges: RefCell<BTreeSet<RangeId>>,
    /// The rule whose condition is lowered.
    pub(super) rule: Cell<Option<LineOf>>,
}

/// What an order map of a rule runs over.
#[derive(Clone, Copy)]
pub(super) struct LineOf {
    pub(super) pairs: bool,
    pub(super) q: Option<RangeId>,
    pub(super) kv: Option<RangeId>,
}

/// A device function over blocks.
#[derive(Clone)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) body: Body,
}

/// Names that functions over blocks may use.
pub(super) fn words() -> Vec<Word> {
    let all = [
        ("p", "const Params& p"),
        ("b", "int b"),
        ("h", "int h"),
        ("i", "int i"),
        ("j", "int j"),
        ("q_group", "int q_group"),
        ("kv_group", "int kv_group"),
        ("dot", "float dot"),
        ("antidiag", "float antidiag"),
    ];
    all.into_iter().map(|(name, parameter)| Word::new(name, parameter)).collect()
}

/// The same where a line holds all pairs of a head, numbered by `e`.
pub(super) fn head_words() -> Vec<Word> {
    let of = |operator| name("e").op(operator, field("kv_blocks"));
    let argument = |word: Word| match word.name {
        "i" => word.from(of("/")),
        "j" => word.from(of("%")),
        _ => word,
    };
    words().into_iter().map(argument).collect()
}

impl Function {
    /// A call, with the arguments of these words.
    pub(super) fn call(&self, words: &[Word]) -> Cuda {
        call_of(&self.name, &self.body, words)
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(kernel: &'a str, plan: &'a SymbolsPlan) -> Builder<'a> {
        Builder {
            kernel,
            plan,
            functions: RefCell::default(),
            known: RefCell::default(),
            steps: RefCell::default(),
            works: RefCell::default(),
            cuts: RefCell::default(),
            asked_ranges: RefCell::default(),
            rule: Cell::new(None),
        }
    }

    /// Order maps are from now on those of this rule.
    pub(super) fn enter(&self, rule: &BlockRule) {
        let When::Match { q, kv, .. } = rule.when else { return };
        self.rule.set(Some(LineOf { pairs: rule.action.writes_skip_symbol(), q, kv }));
    }

    /// The line that opens the part of a text for one map.
    pub(super) fn title(what: &str) -> String {
        let line = format!("// ---- {what} ");
        let dashes = 100usize.saturating_sub(line.chars().count());
        line + &"-".repeat(dashes)
    }

    /// A launch.
    pub(super) fn launch(
        &self,
        what: &str,
        template: &'static Template,
        threads: u32,
        grid: [GridAxis; 3],
        values: minijinja::Value,
    ) -> Step {
        Step::new(format!("{}_{what}", self.kernel), template, threads, grid, values)
    }

    /// A stretch of text, and before it the functions that nothing has taken yet.
    pub(super) fn part(&self, template: &'static Template, values: minijinja::Value) -> Part {
        Part { template, functions: self.take_functions(), values }
    }

    /// The functions that nothing has taken yet.
    pub(super) fn take_functions(&self) -> String {
        std::mem::take(&mut *self.functions.borrow_mut()).join("\n")
    }

    /// A function of this body; the same one again if there is one.
    pub(super) fn function(&self, kind: &str, name: &str, comment: &str, body: Body) -> Function {
        let known = self.known.borrow().iter().find(|known| known.body == body).cloned();
        known.unwrap_or_else(|| self.new_function(kind, name, comment, body))
    }

    /// A function of its own name.
    pub(super) fn new_function(&self, kind: &str, name: &str, comment: &str, body: Body) -> Function {
        let function = Function { name: name.to_owned(), body };
        let (parameters, _) = signature(&function.body, &words());
        let text = define(comment, &format!("{kind} {name}"), &parameters, &function.body);
        self.functions.borrow_mut().push(text);
        self.known.borrow_mut().push(function.clone());
        function
    }

    /// A name that no other function has.
    pub(super) fn fresh(&self, stem: &str) -> String {
        let first = format!("{stem}_");
        let n = self.known.borrow().iter().filter(|known| known.name.starts_with(&first)).count();
        format!("{first}{n}")
    }
}

/// The loop variable of an axis, and the field that says how many places it has.
pub(super) fn axis_words(axis: Axis) -> [&'static str; 2] {
    match axis {
        Axis::Q => ["i", "q_blocks"],
        Axis::Kv => ["j", "kv_blocks"],
        Axis::Head => ["h", "heads"],
    }
}

/// The loop variable of a side.
pub(super) fn index(side: Side) -> &'static str {
    axis_words(side.into())[0]
}

/// Where a value over these sides lies in a workspace `[B, H, …]`.
pub(super) fn place(axes: [bool; 2], indices: [&str; 2]) -> Cuda {
    let at = |function: &str, indices: &[&str]| {
        call(function, ["p", "b", "h"].iter().chain(indices).map(|&index| name(index)).collect::<Vec<_>>())
    };
    match axes {
        [false, false] => at("head_at", &[]),
        [true, false] => at("q_at", &indices[..1]),
        [false, true] => at("kv_at", &indices[1..]),
        [true, true] => at("pair_at", &indices),
    }
}
