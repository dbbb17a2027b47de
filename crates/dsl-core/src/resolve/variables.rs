//! The variables of a rule, a map or a function that runs over blocks.
//!
//! In the IR there is one variable for each side: a variable that runs over the same side takes its place, and the one
//! outside cannot be read inside.

use sparsym_ir::expr::{Axis, Side};
use sparsym_ir::{Code, Finding, Findings, Span};

use super::scope::Scope;
use crate::syntax::ast::Name;
use crate::syntax::words::reserved;

/// Which variables can be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    logit: Option<String>,
    sides: [Option<String>; 2],
    /// Those whose place another one has taken.
    hidden: Vec<(String, Side)>,
}

impl Variables {
    /// Of a rule: logit, query, kv.
    pub(super) fn of_rule([logit, q, kv]: [Option<&Name>; 3]) -> Variables {
        let text = |name: Option<&Name>| name.map(|name| name.text.clone());
        Variables { logit: text(logit), sides: [text(q), text(kv)], hidden: Vec::new() }
    }

    /// Whether this is the logit.
    pub(super) fn is_logit(&self, name: &str) -> bool {
        self.logit.as_deref() == Some(name)
    }

    /// The side that a variable stands for.
    pub(super) fn side(&self, name: &str) -> Option<Side> {
        [Side::Q, Side::Kv].into_iter().find(|&side| self.name(side) == Some(name))
    }

    /// The variable of a side.
    pub(super) fn name(&self, side: Side) -> Option<&str> {
        self.sides[side as usize].as_deref()
    }

    /// The side of a variable that cannot be read any more, and the variable that took its place.
    pub(super) fn hidden(&self, name: &str) -> Option<(Side, &str)> {
        let (_, side) = self.hidden.iter().rev().find(|(hidden, _)| hidden == name)?;
        Some((*side, self.name(*side)?))
    }

    /// Whether there is a variable of blocks or tokens.
    pub(super) fn any(&self) -> bool {
        self.sides.iter().any(Option::is_some)
    }

    /// The same, and a variable of this side.
    pub(super) fn with(&self, side: Side, name: &str) -> Variables {
        let mut all = self.clone();
        let slot = &mut all.sides[side as usize];
        if slot.as_deref() != Some(name)
            && let Some(outer) = slot.replace(name.to_owned())
        {
            all.hidden.push((outer, side));
        }
        all
    }

    /// All names that can be read.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.logit.iter().chain(self.sides.iter().flatten()).map(String::as_str)
    }

    /// What can be read, for a hint.
    pub(super) fn in_words(&self) -> String {
        let names: Vec<String> = self.sides.iter().flatten().map(|name| format!("`{name}`")).collect();
        match names.len() {
            0 => "only rules and maps have variables for tokens and blocks".to_owned(),
            1 => format!("the variable here is {}", names[0]),
            _ => format!("the variables of this rule are {}", names.join(" and ")),
        }
    }
}

/// What blocks of a side are called.
pub(super) fn blocks_of(axis: Axis) -> &'static str {
    match axis {
        Axis::Q => "query blocks",
        Axis::Kv => "kv blocks",
        Axis::Head => "heads",
    }
}

/// Variables have names of their own; each that has not is a finding.
pub(super) fn check_names(names: &[&Name], scope: &Scope, findings: &mut Findings) {
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = names[..index].iter().find(|first| first.text == name.text) {
            let message = format!("`{}` names two variables", name.text);
            let finding = Finding::at(Code::DuplicateName, name.span, message, "give each variable its own name");
            findings.push(finding.label(first.span, "first named here"));
        } else {
            findings.extend(clash(name, scope));
        }
    }
}

/// Why a variable cannot have this name.
pub(super) fn clash(name: &Name, scope: &Scope) -> Option<Finding> {
    const HELP: &str = "choose another name, usually q and kv";
    let usual = ["q", "kv"].contains(&name.text.as_str());
    if let Some(use_) = reserved(&name.text).filter(|_| !usual) {
        let message = format!("`{}` is {use_}", name.text);
        return Some(Finding::at(Code::ReservedName, name.span, message, HELP));
    }
    let first: Span = scope.place(&name.text)?;
    let message = format!("`{}` is declared already", name.text);
    Some(Finding::at(Code::DuplicateName, name.span, message, HELP).label(first, "declared here"))
}
