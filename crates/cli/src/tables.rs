//! Entries of tables as JSON: arrays in arrays, an array for each axis, of numbers or of the names that the table lists.

use serde_json::Value;
use sparsym::ir::bind::{Entries, TableData};
use sparsym::ir::strategy::{Element, Table};

/// The entries of a table.
///
/// # Errors
/// What is wrong with them, and what would be right.
pub(crate) fn from_json(table: &Table, text: &str) -> Result<TableData, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    // A file may hold the tables of a strategy by their names.
    let value = match &value {
        Value::Object(tables) => tables.get(&table.name).ok_or_else(|| format!("it has no {}", table.name))?,
        other => other,
    };
    let triples = matches!(table.element, Element::Three(_));
    let depth = table.axes.len() + usize::from(triples);
    let mut leaves = Leaves { shape: vec![None; depth], numbers: Vec::new(), names: Vec::new() };
    leaves.visit(value, 0).map_err(|words| format!("{words}\nhelp: {}", form(table)))?;
    let mut shape: Vec<usize> = leaves.shape.iter().map(|extent| extent.unwrap_or(0)).collect();
    if triples && shape.pop() != Some(3) {
        return Err(format!("an entry is not three numbers\nhelp: {}", form(table)));
    }
    let entries = match (leaves.numbers.is_empty(), leaves.names.is_empty()) {
        (_, true) => Entries::from(leaves.numbers),
        (true, false) => Entries::from(leaves.names),
        (false, false) => return Err("it mixes numbers and names\nhelp: give one or the other".to_owned()),
    };
    table.data(&shape, entries).map_err(|finding| finding.to_string())
}

/// `arrays for step, layer and head, as in [[[0]]]`.
fn form(table: &Table) -> String {
    let axes: Vec<&str> = table.axes.iter().map(|axis| axis.name()).collect();
    let entry = match (&table.element, table.variants.first()) {
        (Element::Three(_), _) => "[3,3,3]".to_owned(),
        (_, Some(name)) => format!("\"{name}\""),
        _ => "1".to_owned(),
    };
    let (open, close) = ("[".repeat(axes.len()), "]".repeat(axes.len()));
    format!(
        "write an array for each of {}, as in {open}{entry}{close} for an entry that holds everywhere",
        axes.join(", ")
    )
}

struct Leaves {
    shape: Vec<Option<usize>>,
    numbers: Vec<f32>,
    names: Vec<String>,
}

impl Leaves {
    fn visit(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        if let Some(known) = self.shape.get_mut(depth) {
            let Value::Array(items) = value else { return Err(format!("{value} stands where an array is needed")) };
            let extent = *known.get_or_insert(items.len());
            if extent != items.len() {
                return Err(format!("arrays beside each other have {extent} and {} entries", items.len()));
            }
            return items.iter().try_for_each(|item| self.visit(item, depth + 1));
        }
        match value {
            Value::Number(number) => {
                let wide = number.as_f64().unwrap_or(f64::NAN);
                // A whole number that f32 rounds would be another one.
                let value = wide as f32;
                if !value.is_finite() || (wide.fract() == 0.0 && f64::from(value) != wide) {
                    return Err(format!("{number} is too large; whole numbers stay below 2^24"));
                }
                self.numbers.push(value);
            }
            Value::Bool(value) => self.numbers.push(f32::from(u8::from(*value))),
            Value::String(name) => self.names.push(name.clone()),
            other => return Err(format!("{other} stands where a number or a name is needed")),
        }
        Ok(())
    }
}
