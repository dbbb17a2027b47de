//! Instructions back to text.

use std::fmt::{self, Display, Formatter};

use super::ast::{AddressBase, Function, Instruction, LabelId, Operand, RegisterId, TableId};
use super::scope::plain_name;

impl Function {
    /// An instruction of the body as PTX text, on one line; nothing if there is none with this index.
    pub fn print(&self, index: usize) -> impl Display + '_ {
        Printed { function: self, instruction: self.body.get(index) }
    }
}

struct Printed<'a> {
    function: &'a Function,
    instruction: Option<&'a Instruction>,
}

impl Display for Printed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(instruction) = self.instruction else { return Ok(()) };
        if let Some(guard) = instruction.guard {
            write!(f, "@{}{} ", if guard.negated { "!" } else { "" }, self.register(guard.register))?;
        }
        f.write_str(&instruction.opcode)?;
        for modifier in &instruction.modifiers {
            write!(f, ".{modifier}")?;
        }
        if !instruction.operands.is_empty() {
            f.write_str(" ")?;
            self.list(f, &instruction.operands)?;
        }
        f.write_str(";")
    }
}

impl Printed<'_> {
    fn list(&self, f: &mut Formatter<'_>, operands: &[Operand]) -> fmt::Result {
        for (index, operand) in operands.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            self.operand(f, operand)?;
        }
        Ok(())
    }

    fn bracketed(&self, f: &mut Formatter<'_>, open: &str, operands: &[Operand], close: &str) -> fmt::Result {
        f.write_str(open)?;
        self.list(f, operands)?;
        f.write_str(close)
    }

    fn operand(&self, f: &mut Formatter<'_>, operand: &Operand) -> fmt::Result {
        match operand {
            Operand::Register(id) => f.write_str(self.register(*id)),
            Operand::NotRegister(id) => write!(f, "!{}", self.register(*id)),
            Operand::Integer(value) => write!(f, "{value}"),
            Operand::Float32(bits) => write!(f, "0f{bits:08X}"),
            Operand::Float64(bits) => write!(f, "0d{bits:016X}"),
            Operand::Symbol { name, offset } => {
                f.write_str(plain_name(name))?;
                print_offset(f, *offset)
            }
            Operand::Special(name) => f.write_str(name),
            Operand::Sink => f.write_str("_"),
            Operand::Label(id) => f.write_str(self.label(*id)),
            Operand::BranchTable(id) => f.write_str(self.table(*id)),
            Operand::Pair(first, second) => {
                self.operand(f, first)?;
                f.write_str("|")?;
                self.operand(f, second)
            }
            Operand::Vector(operands) => self.bracketed(f, "{", operands, "}"),
            Operand::Address { base, offset, coordinates } => {
                f.write_str("[")?;
                match base {
                    AddressBase::Register(id) => f.write_str(self.register(*id))?,
                    AddressBase::Symbol(name) => f.write_str(plain_name(name))?,
                    AddressBase::Absolute(address) => write!(f, "{address}")?,
                }
                print_offset(f, *offset)?;
                if !coordinates.is_empty() {
                    self.bracketed(f, ", {", coordinates, "}")?;
                }
                f.write_str("]")
            }
            Operand::Group(operands) => self.bracketed(f, "(", operands, ")"),
        }
    }

    fn register(&self, id: RegisterId) -> &str {
        self.function.registers.get(id.0 as usize).map_or("?", |register| &register.name)
    }

    fn label(&self, id: LabelId) -> &str {
        self.function.label_names.get(id.0 as usize).map_or("?", String::as_str)
    }

    fn table(&self, id: TableId) -> &str {
        self.function.branch_tables.get(id.0 as usize).map_or("?", |table| &table.name)
    }
}

/// As NVRTC does: `+8`, `+-8`.
fn print_offset(f: &mut Formatter<'_>, offset: i64) -> fmt::Result {
    if offset == 0 { Ok(()) } else { write!(f, "+{offset}") }
}
