//! The registers that `wgmma` works on behind the back of its threads, and the instructions that touch them.
//!
//! Each of these registers has a row of its own. A list of them that one instruction names, for its sums or for A, is a
//! set; what is under way is known by sets, so that a product costs a few looks whatever its size.

use std::collections::{BTreeMap, HashMap};

use super::flow::Step;
use super::{Instruction, TOUCHES};
use crate::syntax::RegisterId;

/// What a kernel does with registers of `wgmma`.
#[derive(Debug, Default)]
pub(crate) struct Products {
    /// By [`Instruction::set`] of a product.
    pub(crate) uses: Vec<Use>,
    /// By [`Instruction::set`] of an instruction that is marked with [`TOUCHES`]: the sets that it touches, and with which
    /// register.
    pub(crate) touched: Vec<Vec<(u16, RegisterId)>>,
    /// The sets.
    pub(crate) sets: Vec<Set>,
}

/// The sets of one product.
#[derive(Debug)]
pub(crate) struct Use {
    /// What it adds to.
    pub(crate) sums: u16,
    /// A, if it stands in registers.
    pub(crate) operand: Option<u16>,
}

/// Registers that stand together in a product.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) rows: Vec<u16>,
    /// Other sets with one of its registers.
    pub(crate) overlaps: Vec<u16>,
    /// Whether products add to it; else it is an A.
    pub(crate) sums: bool,
    registers: Vec<RegisterId>,
}

impl Products {
    /// The register that has this row.
    pub(crate) fn register_of(&self, row: u16) -> Option<RegisterId> {
        let rows = self.sets.iter().flat_map(|set| set.rows.iter().zip(&set.registers));
        rows.into_iter().find(|(known, _)| **known == row).map(|(_, id)| *id)
    }

    /// Finds them, and marks the instructions. `lent` says for each what it adds to, and A.
    ///
    /// # Errors
    /// There are more than an instruction can name.
    pub(super) fn new(
        lent: &[[Vec<RegisterId>; 2]],
        steps: &[Step],
        row_of: &[u16],
        instructions: &mut [Instruction],
    ) -> Result<Products, &'static str> {
        let mut products = Products::default();
        let mut known: HashMap<(bool, &[RegisterId]), u16> = HashMap::new();
        for ([sums, operand], ins) in lent.iter().zip(instructions.iter_mut()).filter(|([sums, _], _)| !sums.is_empty())
        {
            let mut set = |sums: bool, ids| {
                *known.entry((sums, ids)).or_insert_with(|| {
                    let rows = ids.iter().map(|id| row_of[id.0 as usize]).collect();
                    products.sets.push(Set { rows, overlaps: Vec::new(), sums, registers: ids.to_vec() });
                    (products.sets.len() - 1) as u16
                })
            };
            let sums = set(true, sums.as_slice());
            let operand = (!operand.is_empty()).then(|| set(false, operand.as_slice()));
            ins.set = products.uses.len() as u16;
            products.uses.push(Use { sums, operand });
        }
        let mut of_register: BTreeMap<RegisterId, Vec<u16>> = BTreeMap::new();
        for (at, set) in products.sets.iter().enumerate() {
            set.registers.iter().for_each(|id| of_register.entry(*id).or_default().push(at as u16));
        }
        for at in 0..products.sets.len() {
            let mut overlaps: Vec<u16> =
                products.sets[at].registers.iter().flat_map(|id| &of_register[id]).copied().collect();
            overlaps.sort_unstable();
            overlaps.dedup();
            overlaps.retain(|other| usize::from(*other) != at);
            products.sets[at].overlaps = overlaps;
        }
        for ((step, ins), [sums, _]) in steps.iter().zip(instructions).zip(lent) {
            if !sums.is_empty() {
                continue;
            }
            let named = step.reads.iter().chain(&step.writes);
            let touched: Vec<_> =
                named.flat_map(|id| of_register.get(id).into_iter().flatten().map(move |set| (*set, *id))).collect();
            if !touched.is_empty() {
                ins.marks |= TOUCHES;
                ins.set = products.touched.len() as u16;
                products.touched.push(touched);
            }
        }
        let most = usize::from(u16::MAX);
        if products.uses.len() > most || products.touched.len() > most || products.sets.len() > most {
            return Err("more than 65535 instructions name registers of wgmma");
        }
        Ok(products)
    }
}
