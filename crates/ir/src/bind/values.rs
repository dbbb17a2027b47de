//! Whether tables and inputs are what they were declared to be: their shapes, and each value's type.

use super::{InputData, Moment, TableData};
use crate::diagnostic::{Code, Finding};
use crate::problem::{Problem, product};
use crate::strategy::{Element, Input, Scalar, Table, TableAxis};

/// Integers of tables and inputs are stored as f32: from here on a value may have been another one.
const MOST_INTEGER: f32 = 16_777_216.0;
/// Wrong values that a message shows; it counts the others.
const SHOWN: usize = 3;

impl Table {
    /// Whether the entries fit the declaration.
    pub(super) fn check(&self, data: &TableData) -> Result<(), Finding> {
        let (numbers, scalar) = self.numbers();
        if data.shape.is_empty() && data.values.is_empty() {
            let what = format!("table {} has no entries", self.name);
            return Err(Finding::new(Code::TableShape, what, format!("it is declared as {}", self.axes_in_words())));
        }
        let entries = product(&data.shape);
        if data.shape.len() != self.axes.len()
            || entries == 0
            || entries.checked_mul(numbers) != Some(data.values.len())
        {
            return Err(Finding::new(
                Code::TableShape,
                format!("table {} has shape {:?} and {} numbers", self.name, data.shape, data.values.len()),
                format!(
                    "it is declared as {} with {numbers} number(s) an entry, and needs at least one entry",
                    self.axes_in_words()
                ),
            ));
        }
        let place = |index: usize| place(index / numbers, &data.shape);
        if let Some(wrong) = wrong_values(&data.values, place, |v| fits(v, scalar, false)) {
            return Err(Finding::new(
                Code::TableShape,
                format!("table {} holds {wrong}, which a {} is not", self.name, scalar.name()),
                format!("correct the entries: {}", legal(scalar, false)),
            ));
        }
        let is_named = |v: f32| self.variants.is_empty() || (v as usize) < self.variants.len();
        if let Some(wrong) = wrong_values(&data.values, place, is_named) {
            return Err(Finding::new(
                Code::TableShape,
                format!("table {} holds {wrong}, which stands for none of its names", self.name),
                format!("its names are {}, numbered from 0", self.variants.join(", ")),
            ));
        }
        Ok(())
    }

    /// Whether a table that fits its declaration has an entry for each head.
    pub(super) fn check_heads(&self, data: &TableData, heads: usize) -> Result<(), Finding> {
        match self.extent(data, TableAxis::Head).filter(|&extent| extent != 1 && extent != heads) {
            Some(extent) => Err(self.wrong_extent(data, TableAxis::Head, extent, &format!("{heads} heads"))),
            None => Ok(()),
        }
    }

    /// Whether a table that fits its declaration has entries for the run's steps and the layer.
    pub(super) fn check_moment(&self, data: &TableData, moment: &Moment) -> Result<(), Finding> {
        let steps = moment.steps as usize;
        if let Some(extent) = self.extent(data, TableAxis::Step).filter(|&extent| extent != 1 && extent != steps) {
            return Err(self.wrong_extent(data, TableAxis::Step, extent, &format!("{steps} steps")));
        }
        let layer = moment.layer as usize;
        match self.extent(data, TableAxis::Layer).filter(|&extent| extent != 1 && extent <= layer) {
            Some(extent) => Err(self.wrong_extent(data, TableAxis::Layer, extent, &format!("layer {layer}"))),
            None => Ok(()),
        }
    }

    /// Numbers of an entry, and their type.
    pub(super) fn numbers(&self) -> (usize, Scalar) {
        match self.element {
            Element::One(scalar) => (1, scalar),
            Element::Three(scalar) => (3, scalar),
        }
    }

    /// `[step, layer, head]`.
    pub(super) fn axes_in_words(&self) -> String {
        let axes: Vec<&str> = self.axes.iter().map(|axis| axis.name()).collect();
        format!("[{}]", axes.join(", "))
    }

    fn extent(&self, data: &TableData, axis: TableAxis) -> Option<usize> {
        let at = self.axes.iter().position(|&own| own == axis)?;
        data.shape.get(at).copied()
    }

    fn wrong_extent(&self, data: &TableData, axis: TableAxis, extent: usize, found: &str) -> Finding {
        let (name, axes, shape) = (&self.name, self.axes_in_words(), &data.shape);
        Finding::new(
            Code::TableShape,
            format!("table {name} {axes} = {shape:?} has {extent} entries along {} for {found}", axis.name()),
            format!("give one entry for each {}, or a single one that holds for all", axis.name()),
        )
    }
}

impl Input {
    /// Whether the values fit the declaration and the problem.
    pub(super) fn check(&self, data: &InputData, problem: &Problem) -> Result<(), Finding> {
        let Problem { batch, n_q, n_kv, .. } = *problem;
        let name = &self.name;
        if n_q != n_kv || problem.ragged.as_ref().is_some_and(|ragged| ragged.q != ragged.kv) {
            return Err(Finding::new(
                Code::InputShape,
                format!("input {name} has a value for each token, but N is {n_q} and N_kv is {n_kv}"),
                "queries and keys must be the same tokens",
            ));
        }
        let [outer, tokens, ..] = problem.q_shape();
        let (found, needed) = (data.values.len(), product(&[outer, tokens]));
        if found != needed {
            return Err(Finding::new(
                Code::InputShape,
                format!("input {name} has {found} values for {needed} tokens (B {batch}, N {n_q})"),
                "give one value for each batch item and token, [B, N]",
            ));
        }
        let place = |index: usize| place(index, &[outer, tokens]);
        match wrong_values(&data.values, place, |v| fits(v, self.scalar, true)) {
            Some(wrong) => Err(Finding::new(
                Code::InputShape,
                format!("input {name} holds {wrong}, which a {} is not", self.scalar.name()),
                format!("correct the values: {}", legal(self.scalar, true)),
            )),
            None => Ok(()),
        }
    }

    /// Checks the shape of values against the problem: `[B, N]`, and also `[N]` for a single item.
    ///
    /// # Errors
    /// A finding with the shape that is needed and the one that was found.
    pub fn check_shape(&self, shape: &[usize], problem: &Problem) -> Result<(), Finding> {
        let [outer, tokens, ..] = problem.q_shape();
        if shape == [outer, tokens] || (outer == 1 && shape == [tokens]) {
            return Ok(());
        }
        let turned = if shape == [tokens, outer] { "; it is [N, B], so transpose it" } else { "" };
        Err(Finding::new(
            Code::InputShape,
            format!("input {} has shape {shape:?}", self.name),
            format!("this problem needs [B, N] = [{outer}, {tokens}]{turned}"),
        ))
    }
}

/// Whether a value is of the type. A float of an input may be anything, also infinite.
fn fits(v: f32, scalar: Scalar, of_input: bool) -> bool {
    match scalar {
        Scalar::F32 => of_input || v.is_finite(),
        Scalar::U32 => v >= 0.0 && v.fract() == 0.0 && v < MOST_INTEGER,
        Scalar::I32 => v.fract() == 0.0 && v.abs() < MOST_INTEGER,
        Scalar::Bool => v == 0.0 || v == 1.0,
    }
}

fn legal(scalar: Scalar, of_input: bool) -> &'static str {
    match scalar {
        Scalar::F32 if of_input => "any number",
        Scalar::F32 => "finite numbers",
        Scalar::U32 => "whole numbers from 0 to 2^24 - 1",
        Scalar::I32 => "whole numbers between -2^24 and 2^24",
        Scalar::Bool => "0 or 1",
    }
}

/// `0.5 at [0, 3], NaN at [1, 0] and 7 more`; None if all fit.
fn wrong_values(values: &[f32], place: impl Fn(usize) -> String, fits: impl Fn(f32) -> bool) -> Option<String> {
    let wrong = values.iter().enumerate().filter(|(_, v)| !fits(**v)).map(|(index, v)| (index, v.to_string()));
    list_wrong(wrong, place)
}

/// The first few wrong entries, each with its place, and how many more there are; None if there are none.
pub(super) fn list_wrong(
    mut wrong: impl Iterator<Item = (usize, String)>,
    place: impl Fn(usize) -> String,
) -> Option<String> {
    let shown: Vec<String> =
        wrong.by_ref().take(SHOWN).map(|(at, value)| format!("{value} at {}", place(at))).collect();
    match (shown.is_empty(), wrong.count()) {
        (true, _) => None,
        (_, 0) => Some(shown.join(", ")),
        (_, more) => Some(format!("{} and {more} more", shown.join(", "))),
    }
}

/// The indices of an element of a shape that has no zero.
pub(super) fn place(mut index: usize, shape: &[usize]) -> String {
    let mut indices: Vec<usize> = Vec::new();
    for extent in shape.iter().rev() {
        indices.insert(0, index % extent);
        index /= extent;
    }
    format!("{indices:?}")
}
