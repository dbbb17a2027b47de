//! A case: one attention call, described by a page of TOML.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sparsym::ir::bind::{InputData, Moment, TableData};
use sparsym::ir::problem::{DType, Layout, LayoutRange, Ragged};
use sparsym::ir::strategy::{Blocks, Scalar, Strategy, Value};
use sparsym::ir::{Bindings, Problem};

/// The files of attention calls, embedded; those of projections are in [`projection`](crate::projection). A tidy test makes sure that none is missing.
pub const FILES: &[(&str, &str)] = &[
    ("caching", include_str!("../cases/caching.toml")),
    ("data", include_str!("../cases/data.toml")),
    ("dense", include_str!("../cases/dense.toml")),
    ("masks", include_str!("../cases/masks.toml")),
    ("non_finite", include_str!("../cases/non_finite.toml")),
    ("ragged", include_str!("../cases/ragged.toml")),
    ("roomy", include_str!("../cases/roomy.toml")),
    ("symbols", include_str!("../cases/symbols.toml")),
    ("zoo", include_str!("../cases/zoo.toml")),
];

/// One attention call: rules, shapes, and how its numbers are made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique over all files.
    pub name: String,
    /// What it puts under stress, in a sentence.
    pub stresses: String,
    /// Name of a zoo strategy; `dense` if neither this nor `text` is given.
    pub strategy: Option<String>,
    /// Text of a strategy, instead of `strategy`.
    pub text: Option<String>,
    /// Params that differ from their defaults.
    #[serde(default)]
    pub set: BTreeMap<String, toml::Value>,
    /// Entries of each declared table.
    #[serde(default)]
    pub tables: BTreeMap<String, TableData>,
    /// How each declared input is made.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputSpec>,
    /// Batch items.
    #[serde(default = "one")]
    pub batch: usize,
    /// N: query tokens of an item; for a ragged batch see `lengths`.
    #[serde(default)]
    pub n: usize,
    /// N_kv, if it is not N.
    pub n_kv: Option<usize>,
    /// H.
    #[serde(default = "one")]
    pub heads: usize,
    /// H_kv, if it is not H.
    pub kv_heads: Option<usize>,
    /// D.
    #[serde(default = "sixty_four")]
    pub head_dim: usize,
    /// Tokens of a query and of a kv block; the strategy's own if absent.
    pub blocks: Option<[u32; 2]>,
    /// Factor on Q·K; 1/√D if absent.
    pub scale: Option<f32>,
    /// Named ranges in sequence order.
    #[serde(default)]
    pub layout: Vec<RangeSpec>,
    /// Query tokens of each item of a ragged batch; replaces `batch` and `n`.
    pub lengths: Option<Vec<u32>>,
    /// Kv tokens of each item of a ragged batch, if they are not `lengths`.
    pub lengths_kv: Option<Vec<u32>>,
    /// Step and layer.
    #[serde(default)]
    pub moment: Moment,
    /// Blocks whose output is computed, among those that the rules compute.
    #[serde(default)]
    pub s_c: SymbolSpec,
    /// Block pairs that are computed, among those that the rules compute.
    #[serde(default)]
    pub s_s: SymbolSpec,
    /// Order of the forecast that fills rows whose S_c is 0. Absent: nothing fills them.
    pub forecast: Option<u32>,
    /// Elements that are not finite, or far from the others.
    #[serde(default)]
    pub poison: Vec<Poison>,
    /// Element types; the case runs once for each.
    #[serde(default = "all_types")]
    pub dtypes: Vec<DType>,
    /// Seed of all its numbers.
    pub seed: u64,
    /// Added to twice the rounding error of the type; 0.00002 if absent.
    #[serde(default = "usual_floor")]
    pub floor: f64,
    /// Why the floor is not the usual one.
    pub because: Option<String>,
}

/// A named range of the sequence.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeSpec {
    /// As the strategy names it.
    pub name: String,
    /// Tokens of a range without a grid.
    pub len: Option<usize>,
    /// Extents (t, h, w).
    pub grid: Option<[usize; 3]>,
}

/// How the values of an input are made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum InputSpec {
    /// Token t has the value t / length: documents of this many tokens.
    Runs(usize),
    /// Token t has the value t % period.
    Cycle(usize),
    /// A permutation: the tokens of each run of this length in reverse.
    ReversedRuns(usize),
    /// The values of all tokens of the batch.
    Values(Vec<f32>),
}

/// Which decisions of a symbol are 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymbolSpec {
    /// Chance of a 1.
    #[serde(default = "certain")]
    pub density: f64,
    /// Chance that a whole row of S_s is 0.
    #[serde(default)]
    pub empty_rows: f64,
}

impl Default for SymbolSpec {
    fn default() -> SymbolSpec {
        SymbolSpec { density: 1.0, empty_rows: 0.0 }
    }
}

/// One element of Q, K or V that is not finite, or far from the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poison {
    /// Which tensor.
    pub tensor: Poisoned,
    /// Row of the flattened `[B·N, H, D]` tensor.
    pub row: usize,
    /// Head.
    #[serde(default)]
    pub head: usize,
    /// Channel.
    #[serde(default)]
    pub channel: usize,
    /// `nan`, `inf`, `-inf` or a number.
    pub value: f32,
}

/// A tensor that can be poisoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Poisoned {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
}

/// All cases of all files.
///
/// # Panics
/// If a file is not a list of cases; the message names the file and the line.
pub fn all() -> Vec<Case> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct CaseFile {
        case: Vec<Case>,
    }
    let parse = |&(name, text): &(&str, &str)| match toml::from_str::<CaseFile>(text) {
        Ok(file) => file.case,
        Err(error) => panic!("tests/cases/{name}.toml: {error}"),
    };
    FILES.iter().flat_map(parse).collect()
}

impl Case {
    /// The strategy that the case names or holds.
    ///
    /// # Errors
    /// If the zoo has none of that name, or the text has mistakes.
    pub fn strategy(&self) -> Result<Strategy, String> {
        match (&self.strategy, &self.text) {
            (Some(_), Some(_)) => Err(format!("{} has both a strategy and a text", self.name)),
            (None, Some(text)) => sparsym::language::compile_str(&self.name, text)
                .map_err(|findings| format!("{}: {findings}", self.name)),
            (name, None) => {
                let name = name.as_deref().unwrap_or("dense");
                let found = sparsym::zoo::find(name).map(|entry| entry.strategy.clone());
                found.ok_or_else(|| format!("{}: the zoo has no {name}", self.name))
            }
        }
    }

    /// The shapes.
    pub fn problem(&self, strategy: &Strategy) -> Problem {
        let ragged = self.lengths.as_ref().map(|lengths| Ragged {
            q: index_pointer(lengths),
            kv: index_pointer(self.lengths_kv.as_ref().unwrap_or(lengths)),
        });
        let longest = |lengths: &Option<Vec<u32>>| lengths.as_ref().map(|l| l.iter().max().map_or(0, |&n| n as usize));
        let n_q = longest(&self.lengths).unwrap_or(self.n);
        let range = |range: &RangeSpec| match range.grid {
            Some(grid) => LayoutRange::grid(&range.name, grid),
            None => LayoutRange::plain(&range.name, range.len.unwrap_or(0)),
        };
        Problem {
            batch: self.lengths.as_ref().map_or(self.batch, Vec::len),
            n_q,
            n_kv: longest(&self.lengths_kv).or(self.n_kv).unwrap_or(n_q),
            heads: self.heads,
            kv_heads: self.kv_heads.unwrap_or(self.heads),
            head_dim: self.head_dim,
            blocks: self.blocks.map_or(strategy.blocks, |[q, kv]| Blocks { q, kv }),
            scale: self.scale.unwrap_or(1.0 / (self.head_dim as f32).sqrt()),
            layout: Layout { ranges: self.layout.iter().map(range).collect() },
            ragged,
        }
    }

    /// Values of params, tables and inputs.
    ///
    /// # Errors
    /// If a name is not declared, or a declared table or input is missing.
    pub fn bindings(&self, strategy: &Strategy, problem: &Problem) -> Result<Bindings, String> {
        let mut bindings = Bindings::defaults(strategy);
        for (name, value) in &self.set {
            let at = strategy.params.iter().position(|param| param.name == *name);
            let at = at.ok_or_else(|| format!("{}: no param {name}", self.name))?;
            bindings.params[at] = param_value(strategy.params[at].scalar, value)
                .ok_or_else(|| format!("{}: {name} = {value} is of the wrong type", self.name))?;
        }
        for table in &strategy.tables {
            let data = self.tables.get(&table.name).ok_or_else(|| format!("{}: no table {}", self.name, table.name))?;
            bindings.tables.push(data.clone());
        }
        for input in &strategy.inputs {
            let spec = self.inputs.get(&input.name).ok_or_else(|| format!("{}: no input {}", self.name, input.name))?;
            bindings.inputs.push(spec.values(problem));
        }
        Ok(bindings)
    }
}

impl InputSpec {
    fn values(&self, problem: &Problem) -> InputData {
        let value: Box<dyn Fn(usize, usize) -> usize> = match *self {
            InputSpec::Runs(length) => Box::new(move |token, _| token / length),
            InputSpec::Cycle(period) => Box::new(move |token, _| token % period),
            InputSpec::ReversedRuns(length) => Box::new(move |token, n| {
                let first = token / length * length;
                first + (first + length).min(n) - 1 - token
            }),
            InputSpec::Values(ref values) => return InputData { values: values.clone() },
        };
        let tokens = (0..problem.batch).flat_map(|b| (0..problem.q_rows(b).len()).map(move |token| (b, token)));
        InputData { values: tokens.map(|(b, token)| value(token, problem.q_rows(b).len()) as f32).collect() }
    }
}

fn param_value(scalar: Scalar, value: &toml::Value) -> Option<Value> {
    match scalar {
        Scalar::Bool => value.as_bool().map(Value::Bool),
        Scalar::U32 | Scalar::I32 => value.as_integer().map(Value::Int),
        Scalar::F32 => value.as_float().or(value.as_integer().map(|v| v as f64)).map(Value::Float),
    }
}

fn index_pointer(lengths: &[u32]) -> Vec<u32> {
    let sums = lengths.iter().scan(0, |sum, &length| {
        *sum += length;
        Some(*sum)
    });
    std::iter::once(0).chain(sums).collect()
}

pub(crate) fn one() -> usize {
    1
}

pub(crate) fn sixty_four() -> usize {
    64
}

fn certain() -> f64 {
    1.0
}

pub(crate) fn all_types() -> Vec<DType> {
    vec![DType::F32, DType::F16, DType::Bf16]
}

/// Half a unit in the last place of f32 at 64, the largest partial sum that the corpus reaches, over a few operations.
pub(crate) fn usual_floor() -> f64 {
    2e-5
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{FILES, all, usual_floor};
    use crate::projection;

    #[test]
    fn every_file_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let on_disk: BTreeSet<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
        let embedded = FILES.iter().chain(projection::FILES).map(|(name, _)| format!("{name}.toml")).collect();
        assert_eq!(on_disk, embedded, "the two lists called FILES do not name what tests/cases holds");
    }

    #[test]
    fn names_are_unique_and_say_what_they_stress() {
        let mut seen = BTreeSet::new();
        let attention = all().into_iter().map(|case| (case.name, case.stresses));
        for (name, stresses) in attention.chain(projection::all().into_iter().map(|case| (case.name, case.stresses))) {
            assert!(!stresses.is_empty(), "{name} does not say what it stresses");
            assert!(seen.insert(name.clone()), "two cases are called {name}");
        }
    }

    #[test]
    fn a_wider_floor_has_a_reason() {
        let attention = all().into_iter().map(|case| (case.name, case.floor, case.because));
        let projections = projection::all().into_iter().map(|case| (case.name, case.floor, case.because));
        for (name, floor, because) in attention.chain(projections) {
            assert!(floor <= usual_floor() || because.is_some(), "{name} does not say why its floor is {floor}");
        }
    }
}
