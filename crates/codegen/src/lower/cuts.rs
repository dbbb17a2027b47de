//! Cuts of a mask's literals in the text: read in place where they are a number or a field of `Params`, else computed once
//! by `find_cuts` into a struct `Cuts`.

use sparsym_ir::classify::{Atoms, Axis, Cut, Sum, Threshold};
use sparsym_ir::expr::ExprKind;
use sparsym_ir::strategy::RangeId;

use super::text::statement;
use super::{ATOM, Lowering};
use crate::params::range_field;

/// The axes, what they are called in the text, and what they are.
pub(super) const AXES: [(Axis, &str, &str); 3] =
    [(Axis::Q, "q", "q.pos"), (Axis::Kv, "kv", "kv.pos"), (Axis::Diff, "diff", "q.pos - kv.pos")];

/// How the text reads the cuts of each axis.
pub(super) struct Cuts {
    words: [Vec<String>; 3],
    computed: [Vec<String>; 3],
}

impl Cuts {
    pub(super) fn of(lowering: &Lowering, atoms: &Atoms) -> Cuts {
        let mut cuts = Cuts { words: Default::default(), computed: Default::default() };
        for (axis, name, _) in AXES {
            let (words, computed) = (&mut cuts.words[axis as usize], &mut cuts.computed[axis as usize]);
            for cut in atoms.cuts(axis) {
                words.push(match place(lowering, cut) {
                    Place::Direct(text) => text,
                    Place::Computed(text) => {
                        computed.push(text);
                        format!("cuts.{name}[{}]", computed.len() - 1)
                    }
                });
            }
        }
        cuts
    }

    /// The cuts of an axis, by their index.
    pub(super) fn words(&self, axis: Axis) -> &[String] {
        &self.words[axis as usize]
    }

    /// The struct's definition, and the body of `find_cuts`; None if nothing is computed.
    pub(super) fn struct_and_finder(&self) -> Option<(String, String)> {
        let (mut arrays, mut body) = (Vec::new(), String::new());
        for (axis, name, _) in AXES {
            let places = &self.computed[axis as usize];
            if !places.is_empty() {
                arrays.push(format!("{name}[{}]", places.len()));
            }
            for (n, place) in places.iter().enumerate() {
                body.push_str(&statement(&format!("found.{name}[{n}] = "), place, ";"));
            }
        }
        let definition = format!(
            "// Where the mask may change, on q.pos, kv.pos and q.pos - kv.pos: from these positions on.\n\
             struct Cuts {{\n    int {};\n}};\n",
            arrays.join(", ")
        );
        (!arrays.is_empty()).then(|| (definition, format!("    Cuts found;\n{body}    return found;\n")))
    }
}

/// Where a cut lies.
enum Place {
    /// A number, or a field of `Params`.
    Direct(String),
    /// An expression.
    Computed(String),
}

fn place(lowering: &Lowering, cut: &Cut) -> Place {
    let range = |id: &RangeId| range_field(&lowering.strategy.tokens[id.0].name);
    match &cut.at {
        Threshold::RangeStart(id) => Place::Direct(format!("p.{}_first", range(id))),
        Threshold::RangeEnd(id) => Place::Direct(format!("p.{}_end", range(id))),
        Threshold::Sum(Sum { constant, terms }) if terms.is_empty() => {
            let place = -(-constant).div_euclid(cut.scale);
            // No position is below -i32::MAX.
            Place::Direct(place.clamp(-i64::from(i32::MAX), i64::from(i32::MAX)).to_string())
        }
        Threshold::Sum(Sum { constant: 0, terms }) if cut.scale == 1 && matches!(terms[..], [(1, _)]) => {
            let (text, strength) = lowering.with_strength(&terms[0].1);
            match terms[0].1.kind {
                ExprKind::Param(_) | ExprKind::Global(_) if strength == ATOM => Place::Direct(text),
                _ => Place::Computed(text),
            }
        }
        Threshold::Sum(of) if cut.scale == 1 => Place::Computed(format!("saturated({})", sum(lowering, of))),
        Threshold::Sum(of) => Place::Computed(format!("saturated(ceil_div({}, {}))", sum(lowering, of), cut.scale)),
    }
}

/// A sum in 64 bits.
pub(super) fn sum(lowering: &Lowering, sum: &Sum) -> String {
    let mut text = String::new();
    for (factor, term) in &sum.terms {
        text.push_str(match (text.is_empty(), *factor < 0) {
            (true, false) => "",
            (true, true) => "-",
            (false, false) => " + ",
            (false, true) => " - ",
        });
        if factor.unsigned_abs() != 1 {
            text.push_str(&format!("{} * ", factor.unsigned_abs()));
        }
        text.push_str(&format!("(i64){}", lowering.within(term, ATOM)));
    }
    match sum.constant {
        constant if text.is_empty() => constant.to_string(),
        0 => text,
        constant if constant < 0 => format!("{text} - {}", constant.unsigned_abs()),
        constant => format!("{text} + {constant}"),
    }
}
