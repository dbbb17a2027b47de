//! Operands to rows.

use super::special::Special;
use super::{
    ALWAYS, Address, Instruction, Layout, MOST_ROWS, NOWHERE, Refusal, Rows, Run, guard, rows, run_of, select,
};
use crate::isa::Form;
use crate::isa::form::{Class, Flow, Operand};
use crate::machine::lanes::INVERTED;
use crate::syntax::{self, AddressBase, RegisterId};

/// What turns operands into rows.
pub(super) struct Decoder<'a> {
    pub(super) layout: &'a Layout,
    pub(super) classes: &'a [Class],
    pub(super) rows: &'a mut Rows,
}

/// An instruction whose registers have no rows yet.
pub(super) struct Draft {
    instruction: Instruction,
    /// For each row of the instruction, the register that it will be.
    registers: Vec<Slot>,
    /// For each address, the register that it starts from.
    bases: [Option<RegisterId>; 2],
    guard: Option<syntax::Guard>,
}

/// A row of a draft.
#[derive(Clone, Copy)]
enum Slot {
    /// It is known already.
    Fixed,
    Read(RegisterId),
    ReadInverted(RegisterId),
    Write(RegisterId),
}

impl Draft {
    /// What it will do.
    pub(super) fn run(&self) -> Run {
        self.instruction.run
    }

    /// Registers that it reads, its guard aside.
    pub(super) fn reads(&self) -> Vec<RegisterId> {
        let read = |slot: &Slot| match slot {
            Slot::Read(id) | Slot::ReadInverted(id) => Some(*id),
            _ => None,
        };
        self.registers.iter().filter_map(read).chain(self.bases.into_iter().flatten()).collect()
    }

    /// Registers that it writes.
    pub(super) fn writes(&self) -> Vec<RegisterId> {
        let written = |slot: &Slot| match slot {
            Slot::Write(id) => Some(*id),
            _ => None,
        };
        self.registers.iter().filter_map(written).collect()
    }

    /// The instruction, with the rows that its registers got.
    pub(super) fn finish(mut self, rows: &[u16]) -> Instruction {
        for (row, slot) in self.instruction.rows.iter_mut().zip(&self.registers) {
            match slot {
                Slot::Fixed => {}
                Slot::Read(id) | Slot::Write(id) => *row = rows[id.0 as usize],
                Slot::ReadInverted(id) => *row = rows[id.0 as usize] | INVERTED,
            }
        }
        for (address, base) in self.instruction.addresses.iter_mut().zip(self.bases) {
            if let Some(id) = base {
                address.row = rows[id.0 as usize];
            }
        }
        self.instruction.guard = guard(self.guard, rows);
        self.instruction
    }
}

impl Decoder<'_> {
    /// The first form that has the spelling and takes the operands.
    pub(super) fn draft(&mut self, instruction: &syntax::Instruction) -> Result<Draft, Refusal> {
        let mut last = None;
        for (form, chosen) in select(instruction)? {
            let mut draft =
                Draft { instruction: empty(form), registers: Vec::new(), bases: [None; 2], guard: instruction.guard };
            draft.instruction.number = instruction.used_bytes.unwrap_or(0) as i64;
            match self.operands(form, instruction, &mut draft) {
                Ok(()) => {
                    let made = &mut draft.instruction;
                    made.row_count = draft.registers.len() as u8;
                    made.run = run_of(form.action, &chosen, made).ok_or_else(|| {
                        Refusal("the emulator has no such combination of modifiers, registers and numbers".to_owned())
                    })?;
                    return Ok(draft);
                }
                Err(refusal) => last = Some(refusal),
            }
        }
        Err(last.unwrap_or_else(|| Refusal("the emulator has no such instruction".to_owned())))
    }

    fn operands(
        &mut self,
        form: &'static Form,
        instruction: &syntax::Instruction,
        draft: &mut Draft,
    ) -> Result<(), Refusal> {
        let given = &instruction.operands;
        if given.len() != form.operands.len() {
            return Err(Refusal(format!("it takes {} operands, not {}", form.operands.len(), given.len())));
        }
        let mut addresses = 0;
        for (number, (wanted, given)) in form.operands.iter().zip(given).enumerate() {
            let refuse = |what: &str| Err(Refusal(format!("operand {} must be {what}", number + 1)));
            match (wanted, given) {
                (Operand::Label, syntax::Operand::Label(_)) => {}
                (Operand::Number, syntax::Operand::Integer(value)) => draft.instruction.number = *value as i64,
                (Operand::Address, syntax::Operand::Address { base, offset, coordinates })
                    if coordinates.is_empty() =>
                {
                    let (address, register) = self.address(base, *offset)?;
                    draft.instruction.addresses[addresses] = address;
                    draft.bases[addresses] = register;
                    addresses += 1;
                }
                (Operand::OutPair(first, second), syntax::Operand::Pair(one, other)) => {
                    self.written(draft, Some(*first), one)?;
                    self.written(draft, Some(*second), other)?;
                }
                (Operand::OutPair(first, _), one) => {
                    self.written(draft, Some(*first), one)?;
                    push(draft, rows::SINK, Slot::Fixed)?;
                }
                (Operand::Out(class), one) => self.written(draft, Some(*class), one)?,
                (Operand::OutAny, one) => self.written(draft, None, one)?,
                (Operand::In(class), one) => self.read(draft, Some(*class), one)?,
                (Operand::InAny, one) => self.read(draft, None, one)?,
                (Operand::OutList(class), list) => {
                    for one in elements(list) {
                        self.written(draft, Some(*class), one)?;
                    }
                }
                (Operand::OutListAny, list) => {
                    for one in elements(list) {
                        self.written(draft, None, one)?;
                    }
                }
                (Operand::InListAny, list) => {
                    for one in elements(list) {
                        self.read(draft, None, one)?;
                    }
                }
                (Operand::OutBraces(class, count), list) if in_braces(list, *count) => {
                    for one in elements(list) {
                        self.written(draft, Some(*class), one)?;
                    }
                }
                (Operand::InBraces(class, count), list) if in_braces(list, *count) => {
                    for one in elements(list) {
                        self.read(draft, Some(*class), one)?;
                    }
                }
                (Operand::OutBraces(_, count) | Operand::InBraces(_, count), _) => {
                    return refuse(&format!("{count} registers in braces"));
                }
                (Operand::Label, _) => return refuse("a label"),
                (Operand::Number, _) => return refuse("a number"),
                (Operand::Address, _) => return refuse("an address in brackets"),
            }
        }
        Ok(())
    }

    /// A place that is written. Without a class, a register of 16, 32 or 64 bits.
    fn written(&mut self, draft: &mut Draft, class: Option<Class>, operand: &syntax::Operand) -> Result<(), Refusal> {
        match operand {
            syntax::Operand::Register(id) => {
                self.expect(*id, class)?;
                mark_wide(draft, self.class(*id));
                push(draft, 0, Slot::Write(*id))
            }
            syntax::Operand::Sink => push(draft, rows::SINK, Slot::Fixed),
            _ => Err(Refusal("a result must go to a register".to_owned())),
        }
    }

    /// A value that is read. Without a class, a register of 16, 32 or 64 bits, or an immediate.
    fn read(&mut self, draft: &mut Draft, class: Option<Class>, operand: &syntax::Operand) -> Result<(), Refusal> {
        let wanted = class.unwrap_or(Class::Wide);
        let row = match operand {
            syntax::Operand::Register(id) => {
                self.expect(*id, class)?;
                mark_wide(draft, self.class(*id));
                return push(draft, 0, Slot::Read(*id));
            }
            syntax::Operand::NotRegister(id) => {
                self.expect(*id, Some(Class::Predicate))?;
                self.expect(*id, class)?;
                return push(draft, 0, Slot::ReadInverted(*id));
            }
            syntax::Operand::Integer(value) => self.rows.constant(wanted, trim(wanted, *value as u64)),
            syntax::Operand::Float32(bits) if wanted == Class::Word => self.rows.constant(wanted, u64::from(*bits)),
            syntax::Operand::Float32(bits) => self.rows.constant(wanted, f64::from(f32::from_bits(*bits)).to_bits()),
            syntax::Operand::Float64(bits) if wanted == Class::Word => {
                self.rows.constant(wanted, u64::from((f64::from_bits(*bits) as f32).to_bits()))
            }
            syntax::Operand::Float64(bits) => self.rows.constant(wanted, *bits),
            syntax::Operand::Special(name) => {
                let special = Special::parse(name).ok_or_else(|| Refusal(format!("{name} is not modelled")))?;
                self.rows.special(wanted, special)
            }
            syntax::Operand::Symbol { name, offset } => {
                let (_, address) = self.symbol(name)?;
                self.rows.constant(wanted, trim(wanted, address.wrapping_add(*offset as u64)))
            }
            _ => return Err(Refusal("a value must be a register or an immediate".to_owned())),
        };
        mark_wide(draft, wanted);
        push(draft, row, Slot::Fixed)
    }

    fn address(&mut self, base: &AddressBase, offset: i64) -> Result<(Address, Option<RegisterId>), Refusal> {
        Ok(match base {
            AddressBase::Register(id) => match self.class(*id) {
                Class::Predicate => return Err(Refusal("an address cannot be a predicate".to_owned())),
                class => (Address { row: 0, wide: class == Class::Wide, offset }, Some(*id)),
            },
            AddressBase::Symbol(name) => {
                let (_, address) = self.symbol(name)?;
                let row = self.rows.constant(Class::Wide, address);
                (Address { row, wide: true, offset }, None)
            }
            AddressBase::Absolute(address) => {
                let row = self.rows.constant(Class::Wide, *address as u64);
                (Address { row, wide: true, offset }, None)
            }
        })
    }

    fn symbol(&self, name: &str) -> Result<(crate::memory::Space, u64), Refusal> {
        self.layout.find(name).ok_or_else(|| {
            Refusal(format!("{name} has no address: variables of global memory and functions are not modelled"))
        })
    }

    fn class(&self, id: RegisterId) -> Class {
        self.classes[id.0 as usize]
    }

    fn expect(&self, id: RegisterId, class: Option<Class>) -> Result<(), Refusal> {
        let (has, fits) =
            (self.class(id), class.map_or(self.class(id) != Class::Predicate, |class| class == self.class(id)));
        let name = |class: Class| match class {
            Class::Predicate => "a predicate",
            Class::Word => "a register of at most 32 bits",
            Class::Wide => "a register of 64 bits",
        };
        match (fits, class) {
            (true, _) => Ok(()),
            (false, Some(class)) => Err(Refusal(format!("{} stands where {} is needed", name(has), name(class)))),
            (false, None) => Err(Refusal("a predicate stands where a register is needed".to_owned())),
        }
    }
}

fn mark_wide(draft: &mut Draft, class: Class) {
    if class == Class::Wide {
        draft.instruction.wides |= 1 << draft.registers.len().min(MOST_ROWS - 1);
    }
}

/// An immediate in its class.
fn trim(class: Class, value: u64) -> u64 {
    match class {
        Class::Predicate => value & 1,
        Class::Word => value & 0xFFFF_FFFF,
        Class::Wide => value,
    }
}

/// The elements of a list, or the one that stands without braces.
fn elements(operand: &syntax::Operand) -> &[syntax::Operand] {
    match operand {
        syntax::Operand::Vector(elements) => elements,
        one => std::slice::from_ref(one),
    }
}

/// Whether so many registers stand in braces; a lone one may stand without.
fn in_braces(operand: &syntax::Operand, count: u8) -> bool {
    elements(operand).len() == usize::from(count) && (count == 1 || matches!(operand, syntax::Operand::Vector(_)))
}

fn push(draft: &mut Draft, row: u16, slot: Slot) -> Result<(), Refusal> {
    let at = draft.registers.len();
    if at == MOST_ROWS {
        return Err(Refusal(format!("more than {MOST_ROWS} registers in one instruction")));
    }
    draft.instruction.rows[at] = row;
    draft.registers.push(slot);
    Ok(())
}

fn empty(form: &'static Form) -> Instruction {
    Instruction {
        run: Run::Flow(Flow::Nothing),
        guard: ALWAYS,
        meets: false,
        rows: [rows::SINK; MOST_ROWS],
        wides: 0,
        row_count: 0,
        note: 0,
        target: NOWHERE,
        meeting: NOWHERE,
        number: 0,
        addresses: [Address::default(); 2],
        form,
    }
}
