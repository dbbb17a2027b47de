//! Values of tables, inputs and params by their names, in place of the order of their declarations.

use super::values::{list_wrong, place};
use super::{Bindings, InputData, TableData};
use crate::diagnostic::{Code, Finding};
use crate::problem::{Problem, product};
use crate::strategy::{Strategy, Table, Value};

/// Entries of a table as a caller has them: numbers, or the names that the table lists.
#[derive(Clone, Debug, PartialEq)]
pub enum Entries {
    /// Row-major; three consecutive numbers each for a table of triples.
    Numbers(Vec<f32>),
    /// Row-major.
    Names(Vec<String>),
}

impl Bindings {
    /// The same values with this table: `shape` has an extent for each declared axis.
    ///
    /// ```
    /// use sparsym_ir::bind::{Bindings, TableData};
    /// use sparsym_ir::strategy::{Element, Scalar, Strategy, Table, TableAxis};
    ///
    /// let method = Table {
    ///     name: "method".to_owned(),
    ///     doc: String::new(),
    ///     axes: vec![TableAxis::Head],
    ///     element: Element::One(Scalar::U32),
    ///     variants: vec!["full".to_owned(), "arrow".to_owned()],
    ///     span: Default::default(),
    /// };
    /// let strategy = Strategy { tables: vec![method], ..Strategy::dense() };
    /// let bindings = Bindings::defaults(&strategy).table(&strategy, "method", &[2], ["arrow", "full"])?;
    /// assert_eq!(bindings.tables, [TableData { shape: vec![2], values: vec![1.0, 0.0] }]);
    ///
    /// let mistake = Bindings::defaults(&strategy).table(&strategy, "method", &[2], ["arow", "full"]).unwrap_err();
    /// assert!(mistake.help.contains("did you mean arrow?"));
    /// # Ok::<(), sparsym_ir::Finding>(())
    /// ```
    ///
    /// # Errors
    /// A finding if no table has the name, or if entries are none of its names or of another number than the shape says.
    pub fn table(
        mut self,
        strategy: &Strategy,
        name: &str,
        shape: &[usize],
        entries: impl Into<Entries>,
    ) -> Result<Bindings, Finding> {
        let id = find("table", name, strategy, strategy.tables.iter().map(|table| table.name.as_str()))?;
        let data = strategy.tables[id].data(shape, entries)?;
        self.tables.resize(strategy.tables.len(), TableData::default());
        self.tables[id] = data;
        Ok(self)
    }

    /// The same values with this input, whose `shape` is `[B, N]`.
    ///
    /// # Errors
    /// A finding if no input has the name, or if shape or values are not what the declaration and the problem ask for.
    pub fn input(
        mut self,
        strategy: &Strategy,
        problem: &Problem,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<Bindings, Finding> {
        let id = find("input", name, strategy, strategy.inputs.iter().map(|input| input.name.as_str()))?;
        let (input, data) = (&strategy.inputs[id], InputData { values });
        input.check_shape(shape, problem)?;
        input.check(&data, problem)?;
        self.inputs.resize(strategy.inputs.len(), InputData { values: Vec::new() });
        self.inputs[id] = data;
        Ok(self)
    }

    /// The same values with this param.
    ///
    /// # Errors
    /// A finding if no param has the name, or if the value lies outside its range.
    pub fn param(mut self, strategy: &Strategy, name: &str, value: Value) -> Result<Bindings, Finding> {
        let id = find("param", name, strategy, strategy.params.iter().map(|param| param.name.as_str()))?;
        strategy.params[id].check(value)?;
        let defaults = strategy.params.iter().map(|param| param.default);
        let given = self.params.len();
        self.params.extend(defaults.skip(given));
        self.params[id] = value;
        Ok(self)
    }
}

impl Table {
    /// The entries, if they are of the declared type, and as many as the shape says.
    ///
    /// # Errors
    /// A finding that lists what is wrong.
    pub fn data(&self, shape: &[usize], entries: impl Into<Entries>) -> Result<TableData, Finding> {
        let values = match entries.into() {
            Entries::Numbers(values) => values,
            Entries::Names(names) => self.numbers_of(&names, shape)?,
        };
        let data = TableData { shape: shape.to_vec(), values };
        self.check(&data)?;
        Ok(data)
    }

    /// The numbers that names of entries stand for.
    fn numbers_of(&self, names: &[String], shape: &[usize]) -> Result<Vec<f32>, Finding> {
        let number = |name: &String| self.variants.iter().position(|variant| variant == name);
        if self.variants.is_empty() {
            return Err(Finding::new(
                Code::TableShape,
                format!("table {} has names for entries, and is one of numbers", self.name),
                format!("give {} an entry", if self.numbers().0 == 3 { "three numbers" } else { "a number" }),
            ));
        }
        if names.len() != product(shape) {
            return Err(Finding::new(
                Code::TableShape,
                format!("table {} has shape {shape:?} and {} names", self.name, names.len()),
                format!("give one name for each entry of {}", self.axes_in_words()),
            ));
        }
        let unknown = || names.iter().enumerate().filter(|(_, name)| number(name).is_none());
        let wrong = unknown().map(|(at, name)| (at, format!("{name:?}")));
        if let Some(wrong) = list_wrong(wrong, |at| place(at, shape)) {
            let variants: Vec<&str> = self.variants.iter().map(String::as_str).collect();
            let near = unknown().next().map_or(String::new(), |(_, name)| did_you_mean(name, &variants));
            return Err(Finding::new(
                Code::TableShape,
                format!("table {} holds {wrong}, which is none of its names", self.name),
                format!("{near}its names are {}", variants.join(", ")),
            ));
        }
        Ok(names.iter().filter_map(number).map(|at| at as f32).collect())
    }
}

fn find<'a>(
    kind: &str,
    name: &str,
    strategy: &Strategy,
    known: impl Iterator<Item = &'a str>,
) -> Result<usize, Finding> {
    let known: Vec<&str> = known.collect();
    known.iter().position(|own| *own == name).ok_or_else(|| {
        let help = match known.is_empty() {
            true => format!("it declares no {kind}"),
            false => format!("{}its {kind}s are {}", did_you_mean(name, &known), known.join(", ")),
        };
        Finding::new(Code::UnknownName, format!("{} declares no {kind} {name}", strategy.name), help)
    })
}

/// `did you mean window? ` if a name is near, else nothing.
fn did_you_mean(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|own| (strsim::damerau_levenshtein(name, own), own));
    match near
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, own)| *distance * 3 <= own.chars().count().max(3))
    {
        Some((_, own)) => format!("did you mean {own}? "),
        None => String::new(),
    }
}

impl From<Vec<f32>> for Entries {
    fn from(values: Vec<f32>) -> Entries {
        Entries::Numbers(values)
    }
}

impl From<&[f32]> for Entries {
    fn from(values: &[f32]) -> Entries {
        Entries::Numbers(values.to_vec())
    }
}

impl<const N: usize> From<[f32; N]> for Entries {
    fn from(values: [f32; N]) -> Entries {
        Entries::Numbers(values.to_vec())
    }
}

impl From<Vec<String>> for Entries {
    fn from(names: Vec<String>) -> Entries {
        Entries::Names(names)
    }
}

impl From<&[&str]> for Entries {
    fn from(names: &[&str]) -> Entries {
        Entries::Names(names.iter().map(|&name| name.to_owned()).collect())
    }
}

impl<const N: usize> From<[&str; N]> for Entries {
    fn from(names: [&str; N]) -> Entries {
        Entries::from(names.as_slice())
    }
}
