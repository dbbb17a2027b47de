//! `sparsym list`: the strategies of the zoo.

use serde::Serialize;
use sparsym::ir::Strategy;
use sparsym::zoo;

use crate::failure::Outcome;
use crate::output::{self, Report};

#[derive(Serialize)]
struct Listing {
    strategies: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    summary: String,
    uses: Vec<&'static str>,
    params: Vec<ParamLine>,
    tables: Vec<String>,
    inputs: Vec<String>,
}

#[derive(Serialize)]
struct ParamLine {
    name: String,
    r#type: &'static str,
    default: sparsym::ir::strategy::Value,
    range: String,
    doc: String,
}

/// Prints a line for each strategy.
pub(crate) fn run(report: Report) -> Outcome {
    let strategies: Vec<Line> = zoo::all().iter().map(line).collect();
    output::print(report, &Listing { strategies }, || {
        zoo::all().iter().map(line).map(|line| line.to_string()).collect()
    })
}

/// What a strategy consists of, in the words of the language.
pub(crate) fn uses(strategy: &Strategy) -> Vec<&'static str> {
    let parts = [
        (strategy.caches(), "cache"),
        (strategy.skips(), "skip"),
        (strategy.mask.is_some(), "mask"),
        (strategy.score.is_some(), "score"),
    ];
    parts.into_iter().filter(|(present, _)| *present).map(|(_, name)| name).collect()
}

fn line(entry: &zoo::Entry) -> Line {
    let strategy = &entry.strategy;
    Line {
        name: entry.name.clone(),
        summary: entry.summary.clone(),
        uses: uses(strategy),
        params: strategy
            .params
            .iter()
            .map(|param| ParamLine {
                name: param.name.clone(),
                r#type: param.scalar.name(),
                default: param.default,
                range: param.range(),
                doc: param.doc.clone(),
            })
            .collect(),
        tables: strategy.tables.iter().map(|table| table.name.clone()).collect(),
        inputs: strategy.inputs.iter().map(|input| input.name.clone()).collect(),
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let uses = if self.uses.is_empty() { "-".to_owned() } else { self.uses.join("+") };
        write!(f, "{:<13} {:<6} {}", self.name, uses, self.summary.trim_end_matches('.'))?;
        for param in &self.params {
            write!(f, "; {} = {} in {}", param.name, param.default, param.range)?;
        }
        for table in &self.tables {
            write!(f, "; table {table}")?;
        }
        for input in &self.inputs {
            write!(f, "; input {input}")?;
        }
        writeln!(f)
    }
}
