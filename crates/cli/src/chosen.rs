//! Which strategy was asked for, and values for what it leaves open.

use std::path::Path;

use sparsym::ir::bind::{InputData, TableData};
use sparsym::ir::strategy::{Element, Param, Scalar, Table, Value};
use sparsym::ir::{Bindings, Moment, Strategy};
use sparsym::{language, zoo};

use crate::args::Setting;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::run::file::InputFile;
use crate::tables;

/// A strategy and the values known so far.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// The rules.
    pub(crate) strategy: Strategy,
    /// Values of params; defaults unless set.
    pub(crate) params: Vec<Value>,
    /// Values of tables, where known.
    pub(crate) tables: Vec<Option<TableData>>,
    /// Values of inputs, where known.
    pub(crate) inputs: Vec<Option<InputData>>,
    /// Step and layer; step 0 of 50 unless set.
    pub(crate) moment: Moment,
    /// What the compiler of the language says to a strategy that it takes.
    pub(crate) warnings: Vec<String>,
}

/// Names of `--set` that speak of the moment.
const MOMENT: [&str; 4] = ["step", "steps", "layer", "since_update"];
/// Steps of a run, unless `--set steps=…` says otherwise.
const STEPS: u32 = 50;

impl Chosen {
    /// The strategy of the zoo of that name, or the one in the file.
    pub(crate) fn load(name: &str) -> Outcome<Chosen> {
        if let Some(entry) = zoo::find(name) {
            let tables = entry.defaults.tables.iter().cloned().map(Some).collect();
            return Ok(Chosen { tables, ..Chosen::of(entry.strategy.clone()) });
        }
        let path = Path::new(name);
        if !path.is_file() && path.extension().is_none_or(|extension| extension != "strategy") {
            let names: Vec<&str> = zoo::all().iter().map(|entry| entry.name.as_str()).collect();
            return Err(Failure::usage(format!(
                "there is no strategy {name:?} in the zoo and no such file\nhelp: {}the zoo has {}; a file ends in .strategy",
                did_you_mean(name, &names),
                names.join(", ")
            )));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("strategy file {name} cannot be read: {error}")))?;
        match language::compile_str_warned(name, &text) {
            Ok((strategy, warnings)) => {
                output::warn(language::render(&warnings, name, &text).trim_end());
                let warnings = warnings.iter().map(ToString::to_string).collect();
                Ok(Chosen { warnings, ..Chosen::of(strategy) })
            }
            Err(findings) => Err(Failure::usage(language::render(&findings, name, &text).trim_end())),
        }
    }

    /// Default params, and nothing for tables and inputs.
    pub(crate) fn of(strategy: Strategy) -> Chosen {
        Chosen {
            params: strategy.params.iter().map(|param| param.default).collect(),
            tables: vec![None; strategy.tables.len()],
            inputs: vec![None; strategy.inputs.len()],
            moment: Moment { steps: STEPS, ..Moment::default() },
            warnings: Vec::new(),
            strategy,
        }
    }

    /// Takes over the values of `--set`.
    pub(crate) fn set_all(mut self, settings: &[Setting]) -> Outcome<Chosen> {
        for setting in settings {
            self.set(setting)?;
        }
        self.moment.check().map_err(|finding| {
            Failure::usage(format!("{}\nhelp: {}; --set steps=N gives another run", finding.message, finding.help))
        })?;
        Ok(self)
    }

    /// All values.
    ///
    /// # Errors
    /// Names the table or input that has none.
    pub(crate) fn bindings(&self) -> Outcome<Bindings> {
        let strategy = &self.strategy;
        let tables = strategy.tables.iter().zip(&self.tables).map(|(table, data)| {
            data.clone().ok_or_else(|| {
                Failure::usage(format!(
                    "table {} has no values\nhelp: give its entries, for instance --set {}={}, or tables.{} in the input file",
                    table.name,
                    table.name,
                    if matches!(table.element, Element::Three(_)) { "3,3,3" } else { "1" },
                    table.name
                ))
            })
        });
        let inputs = strategy.inputs.iter().zip(&self.inputs).map(|(input, data)| {
            data.clone().ok_or_else(|| {
                Failure::usage(format!(
                    "input {} has no values\nhelp: give a value for each token, for instance --set {}=0*100,1*28, or inputs.{} in the \
                     input file",
                    input.name, input.name, input.name
                ))
            })
        });
        Ok(Bindings {
            params: self.params.clone(),
            tables: tables.collect::<Outcome<_>>()?,
            inputs: inputs.collect::<Outcome<_>>()?,
        })
    }

    fn set(&mut self, Setting { name, value }: &Setting) -> Outcome {
        let strategy = &self.strategy;
        if let Some(id) = strategy.params.iter().position(|param| param.name == *name) {
            self.params[id] = param_value(&strategy.params[id], value)?;
        } else if let Some(id) = strategy.tables.iter().position(|table| table.name == *name) {
            let table = &strategy.tables[id];
            self.tables[id] = Some(match value.strip_prefix('@') {
                Some(path) => table_of_file(table, Path::new(path))?,
                None if value.starts_with('[') => tables::from_json(table, value)
                    .map_err(|words| Failure::usage(format!("--set {name}={value}: {words}")))?,
                None => table_data(table, value)?,
            });
        } else if let Some(id) = strategy.inputs.iter().position(|input| input.name == *name) {
            self.inputs[id] = Some(InputData { values: repeated_numbers(name, value)? });
        } else if MOMENT.contains(&name.as_str()) {
            let number = value
                .parse::<u32>()
                .map_err(|_| Failure::usage(format!("--set {name}={value}: {name} is a whole number from 0")))?;
            match name.as_str() {
                "step" => (self.moment.step, self.moment.since_update) = (number, number),
                "steps" => self.moment.steps = number,
                "layer" => self.moment.layer = number,
                _ => self.moment.since_update = number,
            }
        } else {
            let own = strategy.params.iter().map(|param| param.name.as_str());
            let own: Vec<&str> = own
                .chain(strategy.tables.iter().map(|table| table.name.as_str()))
                .chain(strategy.inputs.iter().map(|input| input.name.as_str()))
                .chain(MOMENT)
                .collect();
            return Err(Failure::usage(format!(
                "--set {name}={value}: {} has no param, table or input {name}\nhelp: {}names are {}",
                strategy.snake_name(),
                did_you_mean(name, &own),
                own.join(", ")
            )));
        }
        Ok(())
    }
}

fn param_value(param: &Param, text: &str) -> Outcome<Value> {
    let value = match param.scalar {
        Scalar::Bool => text.parse().ok().map(Value::Bool),
        Scalar::U32 | Scalar::I32 => text.parse().ok().map(Value::Int),
        Scalar::F32 => text.parse().ok().map(Value::Float),
    };
    let value = value.ok_or_else(|| {
        Failure::usage(format!(
            "--set {}={text}: {text:?} is no {}\nhelp: legal values are {}; the default is {}",
            param.name,
            param.scalar.name(),
            param.range(),
            param.default
        ))
    })?;
    param.check(value).map_err(|finding| Failure::usage(finding.to_string()))?;
    Ok(value)
}

/// A JSON file, or a safetensors file with a tensor of the table's name, with or without `tables.` before it.
fn table_of_file(table: &Table, path: &Path) -> Outcome<TableData> {
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        let file = InputFile::read(path)?;
        let long = format!("tables.{}", table.name);
        return file.table(if file.has(&long) { &long } else { &table.name }, table);
    }
    let failure = |words: String| Failure::data(format!("{}: {words}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failure(format!("cannot be read: {error}")))?;
    tables::from_json(table, &text).map_err(failure)
}

/// `3,3,3` or `3,3,3;5,1,10`: one entry for all, or one for each index of the last axis.
fn table_data(table: &Table, text: &str) -> Outcome<TableData> {
    let numbers = if matches!(table.element, Element::Three(_)) { 3 } else { 1 };
    let mut values = Vec::new();
    for entry in text.split(';') {
        let number = |text: &str| match table.variants.iter().position(|name| name == text) {
            Some(index) => Some(index as f32),
            None => text.parse().ok(),
        };
        let parsed: Option<Vec<f32>> = entry.split(',').map(|text| number(text.trim())).collect();
        match parsed {
            Some(parsed) if parsed.len() == numbers => values.extend(parsed),
            _ => {
                return Err(Failure::usage(format!(
                    "--set {}={text}: {entry:?} is not {numbers} number(s)\nhelp: write {}, entries separated by `;`",
                    table.name,
                    match () {
                        () if numbers == 3 => "t,h,w as in 3,3,3".to_owned(),
                        () if table.variants.is_empty() => "one number".to_owned(),
                        () => format!("one of {}", table.variants.join(", ")),
                    }
                )));
            }
        }
    }
    let mut shape = vec![1; table.axes.len()];
    if let Some(last) = shape.last_mut() {
        *last = values.len() / numbers;
    }
    Ok(TableData { shape, values })
}

/// `0*100,1*28`: values, each with an optional count.
fn repeated_numbers(name: &str, text: &str) -> Outcome<Vec<f32>> {
    /// More tokens than any problem has; a typing error must not fill the memory.
    const MOST: usize = 1 << 24;
    let mut values = Vec::new();
    for part in text.split(',') {
        let (value, count) = part.split_once('*').unwrap_or((part, "1"));
        let parsed = value.trim().parse::<f32>().ok().zip(count.trim().parse::<usize>().ok());
        match parsed.filter(|(_, count)| *count <= MOST - values.len()) {
            Some((value, count)) => values.extend(std::iter::repeat_n(value, count)),
            None => {
                return Err(Failure::usage(format!(
                    "--set {name}={text}: {part:?} is not a value or VALUE*COUNT\nhelp: write for instance 0*100,1*28"
                )));
            }
        }
    }
    Ok(values)
}

/// `did you mean window? ` if a name is near, else nothing.
fn did_you_mean(name: &str, names: &[&str]) -> String {
    let near = names.iter().map(|known| (strsim::jaro_winkler(name, known), known)).filter(|(score, _)| *score > 0.75);
    match near.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, known)) => format!("did you mean {known}? "),
        None => String::new(),
    }
}
