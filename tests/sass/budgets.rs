//! Instructions of the hot loops, written down: more than there were is a failure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::gates::Counts;

/// By kernel: the instructions of a warp once around each of its hot loops.
pub(crate) struct Budgets {
    known: BTreeMap<String, Vec<usize>>,
    /// While blessing: what there is now.
    seen: Option<Mutex<BTreeMap<String, Vec<usize>>>>,
}

impl Budgets {
    /// Those of `budgets.tsv`.
    pub(crate) fn read() -> Budgets {
        let text = std::fs::read_to_string(path()).unwrap_or_default();
        let known = text.lines().filter_map(|line| line.split_once('\t')).map(|(kernel, counts)| {
            (kernel.to_owned(), counts.split(' ').filter_map(|count| count.parse().ok()).collect())
        });
        let seen = std::env::var_os("BLESS").is_some().then(Mutex::default);
        Budgets { known: known.collect(), seen }
    }

    /// What is against these loops of a kernel.
    pub(crate) fn exceeded(&self, kernel: &str, loops: &[Counts]) -> Option<String> {
        let counts: Vec<usize> = loops.iter().map(|counts| counts.instructions).collect();
        if let Some(seen) = &self.seen {
            seen.lock().unwrap().insert(kernel.to_owned(), counts);
            return None;
        }
        let grown = match self.known.get(kernel) {
            Some(known) if known.len() == counts.len() => counts.iter().zip(known).any(|(now, most)| now > most),
            _ => true,
        };
        let shown = |counts: &[usize]| counts.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
        grown.then(|| {
            format!(
                "[{}] instructions around its hot loops, and tests/sass/budgets.tsv has [{}]; if that is meant: `cargo xtask \
                 bless`",
                shown(&counts),
                self.known.get(kernel).map_or_else(String::new, |known| shown(known))
            )
        })
    }

    /// Rewrites the file, if everything was seen.
    pub(crate) fn bless(&self) {
        let Some(seen) = &self.seen else { return };
        let line = |(kernel, counts): (&String, &Vec<usize>)| {
            let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
            format!("{kernel}\t{}\n", counts.join(" "))
        };
        let text: String = seen.lock().unwrap().iter().map(line).collect();
        std::fs::write(path(), text).unwrap_or_else(|error| panic!("{}: {error}", path().display()));
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sass/budgets.tsv")
}
