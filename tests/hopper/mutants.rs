//! Bugs that are planted in the kernels, and the table of them in docs/testing.md.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::kernels::Kernel;

/// What stands in the table where nothing went wrong.
pub(crate) const NOTHING: &str = "nothing";

/// Comments of docs/testing.md between which the table stands.
const MARKS: (&str, &str) = ("<!-- hopper: begin; `cargo xtask bless` -->\n", "<!-- hopper: end -->");

/// One planted bug: an edit of a kernel's text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// Unique in its kernel.
    pub(crate) name: String,
    /// What the bug is, in a sentence without a full stop.
    pub(crate) breaks: String,
    /// Text of the kernel; it must occur once.
    pub(crate) old: String,
    /// What stands there in the mutant.
    pub(crate) new: String,
    /// What must catch it: the faults that the orders of the warps give, `wrong numbers`, `compiler` or `nothing`.
    pub(crate) caught: String,
    /// What an H200 gave in twenty launches: `right`, `right, 19 of 20`, `wrong`, `hang`, an error, or `not run`.
    pub(crate) gpu: String,
    /// Of a mutant that nothing catches: why.
    pub(crate) because: Option<String>,
    /// Whose bug it is.
    #[serde(skip, default = "attention")]
    pub(crate) kernel: Kernel,
}

/// What came of a mutant.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// With every check.
    pub(crate) checked: String,
    /// Without the checks for races and for bytes that nothing wrote.
    pub(crate) unchecked: String,
}

impl Mutant {
    /// Of both kernels.
    pub(crate) fn all() -> Vec<Mutant> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            mutant: Vec<Mutant>,
        }
        let of = |kernel: Kernel| {
            let text = match kernel {
                Kernel::Attention => include_str!("attention.toml"),
                Kernel::Gemm => include_str!("gemm.toml"),
            };
            let file: File =
                toml::from_str(text).unwrap_or_else(|error| panic!("tests/hopper/{}.toml: {error}", kernel.name()));
            file.mutant.into_iter().map(move |mutant| Mutant { kernel, ..mutant })
        };
        let mutants: Vec<Mutant> = Kernel::ALL.into_iter().flat_map(of).collect();
        let names: BTreeSet<String> = mutants.iter().map(Mutant::full_name).collect();
        assert_eq!(names.len(), mutants.len(), "two mutants of one name");
        for mutant in &mutants {
            let name = mutant.full_name();
            assert_eq!(
                mutant.caught == NOTHING,
                mutant.because.is_some(),
                "{name}: `because` says why {NOTHING} catches it"
            );
        }
        mutants
    }

    /// Kernel and name.
    pub(crate) fn full_name(&self) -> String {
        format!("{} {}", self.kernel.name(), self.name)
    }

    /// The kernel's text with the bug.
    ///
    /// # Errors
    /// If the text that it replaces is not there.
    pub(crate) fn text(&self) -> Result<String, String> {
        let text = self.kernel.text();
        match text.matches(&self.old).count() {
            1 => Ok(text.replace(&self.old, &self.new)),
            found => Err(format!(
                "its old text occurs {found} times, and must occur once:\n{}\nhelp: a kernel in tests/hopper changed. Find what \
                 does now what that text did, and make the same mistake there; if nothing does it any more, remove the mutant",
                self.old
            )),
        }
    }

    /// Its line of the table.
    pub(crate) fn row(&self, Row { checked, unchecked }: &Row) -> String {
        let Mutant { name, breaks, kernel, .. } = self;
        format!("| `{name}` | {} | {breaks} | {checked} | {unchecked} | {} |\n", kernel.name(), self.luck())
    }

    /// Whether it passes on a GPU.
    fn luck(&self) -> String {
        match &*self.gpu {
            "right" => "yes".to_owned(),
            "not run" => "not run".to_owned(),
            other => match other.strip_prefix("right, ") {
                Some(times) => format!("{times} times"),
                None => format!("no: {other}"),
            },
        }
    }
}

/// The part of docs/testing.md that is made here.
pub(crate) fn table(mutants: &[Mutant], rows: &[String]) -> String {
    let count = |is: &dyn Fn(&Mutant) -> bool| mutants.iter().filter(|mutant| is(mutant)).count();
    let caught = |what: &'static str| count(&move |mutant: &Mutant| mutant.caught == what);
    let [numbers, compiler] = ["wrong numbers", "compiler"].map(caught);
    let missed = count(&|mutant| mutant.because.is_some());
    let run = count(&|mutant| mutant.gpu != "not run");
    let lucky = count(&|mutant| mutant.gpu.starts_with("right"));
    let rare = count(&|mutant| mutant.gpu.starts_with("right, "));
    let mut out = format!(
        "{} planted bugs: {} are stopped by a trap, {numbers} give wrong numbers, {compiler} do not compile, {missed} are not \
         caught. An H200 ran {run} of them, twenty launches each: {lucky} gave the right result, all but {rare} every time.\n\n\
         | mutant | kernel | bug | all checks | no checks | passes on an H200 by luck |\n|---|---|---|---|---|---|\n",
        mutants.len(),
        mutants.len() - numbers - compiler - missed,
    );
    out.extend(rows.iter().map(String::as_str));
    if missed > 0 {
        out.push_str("\nNot caught, and why:\n\n");
    }
    for mutant in mutants {
        if let Some(because) = &mutant.because {
            let _ = writeln!(out, "- `{}` of {}: {because}.", mutant.name, mutant.kernel.name());
        }
    }
    out
}

/// docs/testing.md before, inside and after the marks.
pub(crate) fn document() -> (String, String, String) {
    let text = fs::read_to_string(document_path()).unwrap();
    let (before, rest) = text.split_once(MARKS.0).expect("docs/testing.md has the mark where the table begins");
    let (table, after) = rest.split_once(MARKS.1).expect("docs/testing.md has the mark where the table ends");
    (before.to_owned(), table.to_owned(), after.to_owned())
}

/// Rewrites docs/testing.md.
pub(crate) fn write(table: &str) {
    let (before, _, after) = document();
    fs::write(document_path(), format!("{before}{}{table}{}{after}", MARKS.0, MARKS.1)).unwrap();
}

fn document_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/testing.md")
}

fn attention() -> Kernel {
    Kernel::Attention
}
