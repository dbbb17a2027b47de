//! Cuts of a mask's literals in the text: read in place where they are a number or a field of `Params`, else computed once
//! by `find_cuts` into a struct `Cuts`.

use sparsym_ir::classify::{Atoms, Axis, Cut, Sum, Threshold};
use sparsym_ir::expr::ExprKind;
use sparsym_ir::strategy::RangeId;

use super::affine::sum_of;
use super::body::{Body, Statement};
use super::cuda::{Cuda, call, field, literal, name};
use super::expr::Lowering;
use crate::params::range_field;

/// The axes, what they are called in the text, and what they are.
pub(super) const AXES: [(Axis, &str, &str); 3] =
    [(Axis::Q, "q", "q.pos"), (Axis::Kv, "kv", "kv.pos"), (Axis::Diff, "diff", "q.pos - kv.pos")];

/// How the text reads the cuts of each axis.
pub(super) struct Cuts {
    words: [Vec<Cuda>; 3],
    computed: [Vec<Cuda>; 3],
}

impl Cuts {
    pub(super) fn of(lowering: &Lowering, atoms: &Atoms) -> Cuts {
        let mut cuts = Cuts { words: Default::default(), computed: Default::default() };
        for (axis, name, _) in AXES {
            let (words, computed) = (&mut cuts.words[axis as usize], &mut cuts.computed[axis as usize]);
            for cut in atoms.cuts(axis) {
                words.push(match place(lowering, cut) {
                    Place::Direct(place) => place,
                    Place::Computed(place) => {
                        computed.push(place);
                        self::name("cuts").member(name).at(literal(computed.len() - 1))
                    }
                });
            }
        }
        cuts
    }

    /// The cuts of an axis, by their index.
    pub(super) fn words(&self, axis: Axis) -> &[Cuda] {
        &self.words[axis as usize]
    }

    /// The struct's definition, and the body of `find_cuts`; None if nothing is computed.
    pub(super) fn struct_and_finder(&self) -> Option<(String, Body)> {
        let found = || name("found");
        let mut arrays = Vec::new();
        let mut body = vec![Statement::Declare("Cuts".to_owned(), "found".to_owned(), None)];
        for (axis, of, _) in AXES {
            let places = &self.computed[axis as usize];
            if !places.is_empty() {
                arrays.push(format!("{of}[{}]", places.len()));
            }
            for (n, place) in places.iter().enumerate() {
                body.push(Statement::Assign(found().member(of).at(literal(n)), "=", place.clone()));
            }
        }
        body.push(Statement::Return(found()));
        let definition = format!(
            "// Where the mask may change, on q.pos, kv.pos and q.pos - kv.pos: from these positions on.\n\
             struct Cuts {{\n    int {};\n}};\n",
            arrays.join(", ")
        );
        (!arrays.is_empty()).then_some((definition, body))
    }
}

/// Where a cut lies.
enum Place {
    /// A number, or a field of `Params`.
    Direct(Cuda),
    /// An expression.
    Computed(Cuda),
}

fn place(lowering: &Lowering, cut: &Cut) -> Place {
    let range = |id: &RangeId| range_field(&lowering.strategy.tokens[id.0].name);
    match &cut.at {
        Threshold::RangeStart(id) => Place::Direct(field(format!("{}_first", range(id)))),
        Threshold::RangeEnd(id) => Place::Direct(field(format!("{}_end", range(id)))),
        Threshold::Sum(Sum { constant, terms }) if terms.is_empty() => {
            let place = -(-constant).div_euclid(cut.scale);
            // No position is below -i32::MAX.
            Place::Direct(literal(place.clamp(-i64::from(i32::MAX), i64::from(i32::MAX))))
        }
        Threshold::Sum(Sum { constant: 0, terms }) if cut.scale == 1 && matches!(terms[..], [(1, _)]) => {
            let place = lowering.expr(&terms[0].1);
            match terms[0].1.kind {
                ExprKind::Param(_) | ExprKind::Global(_) if place.is_atom() => Place::Direct(place),
                _ => Place::Computed(place),
            }
        }
        Threshold::Sum(of) if cut.scale == 1 => Place::Computed(call("saturated", [sum(lowering, of)])),
        Threshold::Sum(of) => {
            let place = call("ceil_div", [sum(lowering, of), literal(cut.scale)]);
            Place::Computed(call("saturated", [place]))
        }
    }
}

/// A sum in 64 bits.
pub(super) fn sum(lowering: &Lowering, sum: &Sum) -> Cuda {
    let term = |(factor, term): &(i64, sparsym_ir::Expr)| {
        let size = factor.unsigned_abs();
        let number = (size != 1).then(|| literal(size));
        (*factor < 0, number.into_iter().chain([lowering.expr(term).prefixed("(i64)")]).collect::<Vec<Cuda>>())
    };
    if sum.terms.is_empty() {
        return literal(sum.constant);
    }
    let constant = (sum.constant != 0).then(|| (sum.constant < 0, vec![literal(sum.constant.unsigned_abs())]));
    sum_of(sum.terms.iter().map(term).chain(constant))
}
