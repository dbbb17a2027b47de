//! Functions of CUDA's device runtime that compilers call and no text defines: a call becomes an instruction of the table.

use super::inline::plain;
use crate::syntax::{AddressBase, Instruction, Operand, Register, RegisterClass, RegisterId};

/// A function of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// `int vprintf(const char *format, void *arguments)`: what `printf` becomes.
    Print,
    /// `void __assertfail(const char *condition, const char *file, unsigned line, const char *function, size_t character)`.
    AssertFail,
}

impl Function {
    pub(super) fn named(name: &str) -> Option<Function> {
        match name {
            "vprintf" => Some(Function::Print),
            "__assertfail" => Some(Function::AssertFail),
            _ => None,
        }
    }

    /// Opcode, and the types of its arguments.
    fn parts(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Function::Print => ("vprintf", &["b64", "b64"]),
            Function::AssertFail => ("__assertfail", &["b64", "b64", "b32", "b64", "b64"]),
        }
    }

    /// Loads of the arguments, the instruction, and a store of the result.
    pub(super) fn instructions(
        self,
        call: &Instruction,
        results: &[&str],
        arguments: &[&str],
        registers: &mut Vec<Register>,
    ) -> Vec<Instruction> {
        let (opcode, types) = self.parts();
        let mut register = |kind: &str| {
            let class = if kind == "b64" { RegisterClass::B64 } else { RegisterClass::B32 };
            registers.push(Register { name: format!("%{opcode}{}", registers.len()), class });
            Operand::Register(RegisterId(registers.len() as u32 - 1))
        };
        let variable = |name: &str| Operand::Address {
            base: AddressBase::Symbol(name.to_owned()),
            offset: 0,
            coordinates: Vec::new(),
        };
        let mut out = Vec::new();
        let mut operands = Vec::new();
        let result = (self == Function::Print).then(|| register("b32"));
        operands.extend(result.clone());
        for (argument, kind) in arguments.iter().zip(types) {
            let value = register(kind);
            out.push(plain(call, "ld", &["local", kind], vec![value.clone(), variable(argument)], None));
            operands.push(value);
        }
        out.push(plain(call, opcode, &[], operands, None));
        for (name, value) in results.iter().zip(result) {
            out.push(plain(call, "st", &["local", "b32"], vec![variable(name), value], None));
        }
        out
    }
}
