//! Operands to rows.

use super::kinds::{Constants, Kinds, Place};
use super::special::{self, Special};
use super::{
    ALWAYS, Address, Instruction, Layout, MOST_ADDRESSES, MOST_ROWS, NOWHERE, Refusal, Rows, Run, guard, rows, run_of,
    select,
};
use crate::isa::Form;
use crate::isa::form::{Class, Flow, Operand};
use crate::machine::lanes::INVERTED;
use crate::memory::Space;
use crate::syntax::{self, AddressBase, RegisterId};

/// What turns operands into rows.
pub(super) struct Decoder<'a> {
    pub(super) layout: &'a Layout,
    pub(super) registers: &'a [syntax::Register],
    pub(super) classes: &'a [Class],
    pub(super) rows: &'a mut Rows,
}

/// An instruction whose registers have no rows yet.
pub(super) struct Draft {
    instruction: Instruction,
    /// For each row of the instruction, the register that it will be.
    registers: Vec<Slot>,
    /// For each address, the register that it starts from.
    bases: [Option<RegisterId>; MOST_ADDRESSES],
    /// Registers that a `wgmma` adds to.
    accumulators: Vec<RegisterId>,
    /// How many of its operands were signs or flags.
    bits: u32,
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
        let named = self.registers.iter().filter_map(read).chain(self.bases.into_iter().flatten());
        named.chain(self.accumulators.iter().copied()).collect()
    }

    /// Registers that it writes.
    pub(super) fn writes(&self) -> Vec<RegisterId> {
        let written = |slot: &Slot| match slot {
            Slot::Write(id) => Some(*id),
            _ => None,
        };
        self.registers.iter().filter_map(written).chain(self.accumulators.iter().copied()).collect()
    }

    /// Registers that a `wgmma` works on behind the back of its threads: those that it adds to, and those of A.
    pub(super) fn lent(&self) -> [Vec<RegisterId>; 2] {
        if self.accumulators.is_empty() {
            return Default::default();
        }
        let fragment = |slot: &Slot| match slot {
            Slot::Read(id) => Some(*id),
            _ => None,
        };
        let in_registers =
            self.instruction.form.operands.iter().any(|operand| matches!(operand, Operand::InBraces(..)));
        let operand = if in_registers { self.registers[..4].iter().filter_map(fragment).collect() } else { Vec::new() };
        [self.accumulators.clone(), operand]
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
        // Of the first form with as many operands, if there is one: it is the plainest.
        let mut why: Option<(bool, Refusal)> = None;
        for (form, chosen) in select(instruction)? {
            let mut draft = Draft {
                instruction: empty(form),
                registers: Vec::new(),
                bases: [None; MOST_ADDRESSES],
                accumulators: Vec::new(),
                bits: 0,
                guard: instruction.guard,
            };
            draft.instruction.number = instruction.used_bytes.unwrap_or(0) as i64;
            match self.operands(form, instruction, &mut draft) {
                Ok(()) => {
                    let made = &mut draft.instruction;
                    made.row_count = draft.registers.len() as u8;
                    made.accumulators = draft.accumulators.len() as u16;
                    made.run = run_of(form.action, &chosen, made).ok_or_else(|| {
                        Refusal("the emulator has no such combination of modifiers, registers and numbers".to_owned())
                    })?;
                    return Ok(draft);
                }
                Err(refusal) => {
                    let counted = form.operands.len() == instruction.operands.len();
                    if why.as_ref().is_none_or(|(known, _)| counted && !known) {
                        why = Some((counted, refusal));
                    }
                }
            }
        }
        Err(why.map_or_else(|| Refusal("the emulator has no such instruction".to_owned()), |(_, refusal)| refusal))
    }

    fn operands(
        &mut self,
        form: &'static Form,
        instruction: &syntax::Instruction,
        draft: &mut Draft,
    ) -> Result<(), Refusal> {
        if let Some(guard) = instruction.guard
            && self.class(guard.register) != Class::Predicate
        {
            return Err(Refusal(format!("its guard {} is no predicate", self.name(guard.register))));
        }
        let given = &instruction.operands;
        if given.len() != form.operands.len() {
            return Err(Refusal(format!("it takes {} operands, not {}", form.operands.len(), given.len())));
        }
        let kinds = Kinds::of(instruction);
        let mut addresses = 0;
        for (number, (wanted, given)) in form.operands.iter().zip(given).enumerate() {
            let refuse = |what: &str| Err(Refusal(format!("operand {} must be {what}", number + 1)));
            let place = |class, list| kinds.place(form, number, class, elements(list).len());
            match (wanted, given) {
                (Operand::Label, syntax::Operand::Label(_)) => {}
                (Operand::Clock(class), syntax::Operand::Special(name)) => match special::clock(name) {
                    Some((kind, shift)) if kind == *class => draft.instruction.number = shift,
                    _ => return refuse("a clock as wide as the type"),
                },
                (Operand::Number, syntax::Operand::Integer(value)) => match i64::try_from(*value) {
                    Ok(value) if form.opcode() != "lop3" || (0..256).contains(&value) => {
                        draft.instruction.number = value;
                    }
                    _ => return refuse("a smaller number"),
                },
                (Operand::Address, syntax::Operand::Address { base, offset, coordinates })
                    if coordinates.is_empty() =>
                {
                    let (address, register) = self.address(base, *offset, kinds.space(addresses))?;
                    draft.instruction.addresses[addresses] = address;
                    draft.bases[addresses] = register;
                    addresses += 1;
                }
                (Operand::Mbarrier, syntax::Operand::Address { base, offset, coordinates })
                    if coordinates.is_empty() =>
                {
                    let (address, register) = self.address(base, *offset, kinds.space_of_mbarrier())?;
                    draft.instruction.addresses[addresses] = address;
                    draft.bases[addresses] = register;
                    addresses += 1;
                }
                (Operand::Box, syntax::Operand::Address { base, offset, coordinates })
                    if (1..=5).contains(&coordinates.len()) =>
                {
                    let (address, register) = self.address(base, *offset, None)?;
                    draft.instruction.addresses[addresses] = address;
                    draft.bases[addresses] = register;
                    addresses += 1;
                    for one in coordinates {
                        self.read(draft, Some(Class::Word), place(Some(Class::Word), one), &kinds, one)?;
                    }
                }
                (Operand::OutPair(first, second), syntax::Operand::Pair(one, other)) => {
                    self.written(draft, Some(*first), place(Some(*first), one), one)?;
                    self.written(draft, Some(*second), place(Some(*second), other), other)?;
                }
                (Operand::OutPair(first, _), one) => {
                    self.written(draft, Some(*first), place(Some(*first), one), one)?;
                    push(draft, rows::SINK, Slot::Fixed)?;
                }
                (Operand::Out(class), one) => {
                    self.written(draft, Some(*class), place(Some(*class), one), one)?;
                }
                (Operand::OutAny, one) => self.written(draft, None, place(None, one), one)?,
                (Operand::In(class), one) => self.read(draft, Some(*class), place(Some(*class), one), &kinds, one)?,
                (Operand::InAny, one) => self.read(draft, None, place(None, one), &kinds, one)?,
                (Operand::OutList(class), list) => {
                    for one in elements(list) {
                        self.written(draft, Some(*class), place(Some(*class), list), one)?;
                    }
                }
                (Operand::OutListAny, list) => {
                    for one in elements(list) {
                        self.written(draft, None, place(None, list), one)?;
                    }
                }
                (Operand::InList(class), list) => {
                    for one in elements(list) {
                        self.read(draft, Some(*class), place(Some(*class), list), &kinds, one)?;
                    }
                }
                (Operand::InListAny, list) => {
                    for one in elements(list) {
                        self.read(draft, None, place(None, list), &kinds, one)?;
                    }
                }
                (Operand::OutBraces(class, count), list) if in_braces(list, *count) => {
                    for one in elements(list) {
                        self.written(draft, Some(*class), place(Some(*class), list), one)?;
                    }
                }
                (Operand::InBraces(class, count), list) if in_braces(list, *count) => {
                    for one in elements(list) {
                        self.read(draft, Some(*class), place(Some(*class), list), &kinds, one)?;
                    }
                }
                (Operand::OutBraces(_, count) | Operand::InBraces(_, count), _) => {
                    return refuse(&format!("{count} registers in braces"));
                }
                (Operand::Accumulators, syntax::Operand::Vector(list)) => {
                    for one in list {
                        let syntax::Operand::Register(id) = one else {
                            return Err(Refusal("a sum must stand in a register".to_owned()));
                        };
                        self.expect(*id, Some(Class::Word), kinds.place(form, number, Some(Class::Word), 1))?;
                        if draft.accumulators.contains(id) {
                            return Err(Refusal(format!("{} stands twice among the sums", self.name(*id))));
                        }
                        draft.accumulators.push(*id);
                    }
                }
                (Operand::Sign, syntax::Operand::Integer(sign @ (1 | -1))) => bit(draft, *sign == -1),
                (Operand::Flag, syntax::Operand::Integer(flag @ (0 | 1))) => bit(draft, *flag == 1),
                (Operand::Accumulators, _) => return refuse("registers in braces"),
                (Operand::Sign, _) => return refuse("1 or -1"),
                (Operand::Flag, _) => return refuse("0 or 1"),
                (Operand::Clock(_), _) => return refuse("a clock"),
                (Operand::Label, _) => return refuse("a label"),
                (Operand::Number, _) => return refuse("a number"),
                (Operand::Address, _) => return refuse("an address in brackets"),
                (Operand::Box, _) => return refuse("a tensor map and coordinates in brackets"),
                (Operand::Mbarrier, _) => return refuse("the address of an mbarrier in brackets"),
            }
        }
        Ok(())
    }

    /// A place that is written. Without a class, a register of 16, 32 or 64 bits.
    fn written(
        &mut self,
        draft: &mut Draft,
        class: Option<Class>,
        place: Place,
        operand: &syntax::Operand,
    ) -> Result<(), Refusal> {
        match operand {
            syntax::Operand::Register(id) => {
                self.expect(*id, class, place)?;
                mark_wide(draft, self.class(*id));
                push(draft, 0, Slot::Write(*id))
            }
            syntax::Operand::Sink => push(draft, rows::SINK, Slot::Fixed),
            _ => Err(Refusal("a result must go to a register".to_owned())),
        }
    }

    /// A value that is read. Without a class, a register of 16, 32 or 64 bits, or an immediate.
    fn read(
        &mut self,
        draft: &mut Draft,
        class: Option<Class>,
        place: Place,
        kinds: &Kinds<'_>,
        operand: &syntax::Operand,
    ) -> Result<(), Refusal> {
        let wanted = class.unwrap_or(Class::Wide);
        let constants = place.constants();
        let floats = matches!(constants, Constants::Floats | Constants::Any) && place.holds_words();
        let row = match operand {
            syntax::Operand::Register(id) => {
                self.expect(*id, class, place)?;
                mark_wide(draft, self.class(*id));
                return push(draft, 0, Slot::Read(*id));
            }
            syntax::Operand::NotRegister(id) => {
                self.expect(*id, Some(Class::Predicate), place)?;
                self.expect(*id, class, place)?;
                return push(draft, 0, Slot::ReadInverted(*id));
            }
            syntax::Operand::Integer(value) => match constants {
                Constants::Floats => return Err(Refusal("an integer stands where a float is needed".to_owned())),
                Constants::Truths if !(-1..=1).contains(value) => {
                    return Err(Refusal(format!("{value} stands where a predicate is needed")));
                }
                _ => self.rows.constant(wanted, trim(wanted, *value as u64)),
            },
            syntax::Operand::Float32(_) | syntax::Operand::Float64(_) if !floats => {
                return Err(Refusal("a float stands where none is needed".to_owned()));
            }
            syntax::Operand::Float32(bits) if wanted == Class::Word => self.rows.constant(wanted, u64::from(*bits)),
            syntax::Operand::Float32(bits) => self.rows.constant(wanted, f64::from(f32::from_bits(*bits)).to_bits()),
            syntax::Operand::Float64(bits) if wanted == Class::Word => {
                self.rows.constant(wanted, u64::from((f64::from_bits(*bits) as f32).to_bits()))
            }
            syntax::Operand::Float64(bits) => self.rows.constant(wanted, *bits),
            syntax::Operand::Special(name) => {
                if !matches!(constants, Constants::Integers | Constants::Any) || !place.holds_words() {
                    return Err(Refusal(format!("{name} stands where no special register can")));
                }
                let special = Special::parse(name).ok_or_else(|| Refusal(format!("{name} is not modelled")))?;
                self.rows.special(wanted, special)
            }
            syntax::Operand::Symbol { name, offset } => {
                let (space, address) = self.symbol(name)?;
                if !matches!(constants, Constants::Integers | Constants::Any) || !place.holds_words() {
                    return Err(Refusal(format!("the address of {name} stands where no address can")));
                }
                if kinds.leaves_space() {
                    in_space(name, space, kinds.space(0))?;
                }
                self.rows.constant(wanted, trim(wanted, address.wrapping_add(*offset as u64)))
            }
            _ => return Err(Refusal("a value must be a register or an immediate".to_owned())),
        };
        mark_wide(draft, wanted);
        push(draft, row, Slot::Fixed)
    }

    fn address(
        &mut self,
        base: &AddressBase,
        offset: i64,
        named: Option<Space>,
    ) -> Result<(Address, Option<RegisterId>), Refusal> {
        let Ok(offset) = i32::try_from(offset) else {
            return Err(Refusal(format!("an address {offset} bytes from its register")));
        };
        Ok(match base {
            AddressBase::Register(id) => match (self.class(*id), self.registers[id.0 as usize].class) {
                (Class::Predicate, _) => return Err(Refusal("an address cannot be a predicate".to_owned())),
                (_, syntax::RegisterClass::B16) => {
                    return Err(Refusal("an address cannot be a register of 16 bits".to_owned()));
                }
                (class, _) => (Address { row: 0, wide: class == Class::Wide, offset }, Some(*id)),
            },
            AddressBase::Symbol(name) => {
                let (space, address) = self.symbol(name)?;
                in_space(name, space, named)?;
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
        self.layout.find(name).ok_or_else(|| Refusal(format!("{name} has no address: the text does not define it")))
    }

    fn class(&self, id: RegisterId) -> Class {
        self.classes[id.0 as usize]
    }

    fn name(&self, id: RegisterId) -> &str {
        &self.registers[id.0 as usize].name
    }

    /// Whether a register has the row that the form wants, and the width that the types say.
    fn expect(&self, id: RegisterId, class: Option<Class>, place: Place) -> Result<(), Refusal> {
        let fits = class.map_or(self.class(id) != Class::Predicate, |class| class == self.class(id));
        match place.refuses_register(self.registers[id.0 as usize].class) {
            Some(why) => Err(Refusal(format!("{}: {why}", self.name(id)))),
            None if !fits => Err(Refusal(format!("{} is a register of another kind than is needed", self.name(id)))),
            None => Ok(()),
        }
    }
}

/// Whether a variable lies where the instruction looks.
fn in_space(name: &str, space: Space, named: Option<Space>) -> Result<(), Refusal> {
    match named {
        Some(named) if named == space => Ok(()),
        Some(named) => Err(Refusal(format!("{name} lies in {space} memory, not in {named} memory"))),
        None => Err(Refusal(format!("{name} lies in {space} memory: its address is no generic one"))),
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

/// The next bit of the number of an instruction, the first lowest.
fn bit(draft: &mut Draft, holds: bool) {
    draft.instruction.number |= i64::from(holds) << draft.bits;
    draft.bits += 1;
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
        marks: 0,
        rows: [rows::SINK; MOST_ROWS],
        wides: 0,
        row_count: 0,
        accumulators: 0,
        set: 0,
        note: 0,
        target: NOWHERE,
        meeting: NOWHERE,
        number: 0,
        addresses: [Address::default(); MOST_ADDRESSES],
        form,
    }
}
