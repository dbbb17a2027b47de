//! The `sparsym` command line: a thin client of the public crates.
//!
//! One file or folder a form; each takes its arguments, calls the library and reports. Failures are one readable message
//! on stderr and an exit status: 2 for bad usage or a bad strategy, 3 for bad input data, 4 for a missing or failing
//! device or compiler, 5 for a kernel that the emulator stopped. Files appear by rename, so nothing is ever half written;
//! devices and pipes are written through.
//!
//! ```text
//! main ─► args ─► demo | list | explain | emit | compile | run | bench | doctor | cache
//!                   │      (chosen: which strategy, with which values; device: where)
//!                   └────► output, write, picture, failure, warnings
//! ```
//!
//! It is a library for one reader: whoever times the rows of `bench` beside something else.
//!
//! ```
//! let line = ["attention", "--tokens", "64", "--heads", "1", "--head-dim", "16"].map(str::to_owned);
//! sparsym_cli::rows_of_bench(&line, &mut |rows| {
//!     assert_eq!(rows.launch(0, 3).unwrap().len(), 3);
//! })
//! .unwrap();
//! ```
//!
//! Non-goals: anything else; programs take the crate `sparsym`.
#![deny(missing_docs)]

mod args;
mod bench;
mod cache;
mod chosen;
mod compile;
mod demo;
mod device;
mod doctor;
mod emit;
mod explain;
mod failure;
mod list;
mod output;
mod picture;
mod run;
mod tables;
mod warnings;
mod write;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Form};
use output::Report;

pub use bench::{Rows, rows_of_bench};

/// The command line: takes this process's arguments, prints, and gives the exit status.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    warnings::show();
    let report = if cli.json { Report::Json } else { Report::Text };
    let outcome = match &cli.form {
        Form::Demo(args) => demo::run(args, report),
        Form::List => list::run(report),
        Form::Explain(args) => explain::run(args, report),
        Form::Emit(args) => emit::run(args, report),
        Form::Compile(args) => compile::run(args, report),
        Form::Run(args) => run::run(args, report),
        Form::Bench(args) => bench::run(args, report),
        Form::Doctor => doctor::run(report),
        Form::Cache(args) => cache::run(args, report),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Findings on a strategy's text bring a heading of their own, each with its code.
            let message = failure.to_string();
            let heading =
                if ["error[", "warning["].iter().any(|own| message.starts_with(own)) { "" } else { "error: " };
            eprintln!("{heading}{message}");
            ExitCode::from(failure.exit_code())
        }
    }
}
