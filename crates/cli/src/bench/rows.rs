//! The rows of a bench, for a caller that times them beside something else.

use clap::Parser;
use serde_json::json;

use super::measure::Turns;
use super::{BenchArgs, make};
use crate::failure::{Failure, Outcome};

/// Rows of a table, each ready to be launched.
pub trait Rows {
    /// What they are: a JSON array with an object for each.
    fn describe(&self) -> String;

    /// Launches a row so many times, right one after another; milliseconds of each launch.
    ///
    /// # Errors
    /// What stopped it, in words; a row that there is not.
    fn launch(&mut self, row: usize, launches: usize) -> Result<Vec<f64>, String>;
}

#[derive(Parser)]
#[command(name = "sparsym bench", no_binary_name = true)]
struct Line {
    #[command(flatten)]
    bench: BenchArgs,
}

/// Makes the rows of `sparsym bench ARGUMENTS…` and shows them to `visit`; they live until it returns. How long to measure
/// is then the visitor's.
///
/// # Errors
/// What `sparsym bench` says of such arguments.
pub fn rows_of_bench(arguments: &[String], visit: &mut dyn FnMut(&mut dyn Rows)) -> Result<(), String> {
    let line = Line::try_parse_from(arguments).map_err(|wrong| wrong.to_string())?;
    let made = make(&line.bench, &mut |rows| -> Outcome {
        visit(&mut Turns::new(rows)?);
        Ok(())
    });
    made.map(|_| ()).map_err(|failure: Failure| failure.to_string())
}

impl Rows for Turns<'_, '_> {
    fn describe(&self) -> String {
        let row = |row: &super::measure::Row<'_>| {
            json!({
                "order": row.order, "schedule": row.schedule, "sparsity": row.sparsity, "cached": row.cached, "density_c": row.density_c,
                "density_s": row.density_s, "density": row.density, "flops": row.flops(), "bytes": row.bytes,
            })
        };
        serde_json::Value::from(self.rows().iter().map(row).collect::<Vec<_>>()).to_string()
    }

    fn launch(&mut self, row: usize, launches: usize) -> Result<Vec<f64>, String> {
        match row < self.rows().len() {
            true => Turns::launch(self, row, launches).map_err(|failure| failure.to_string()),
            false => Err(format!("there is no row {row}")),
        }
    }
}
