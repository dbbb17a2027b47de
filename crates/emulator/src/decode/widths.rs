//! Conversions whose registers are wider than their types.
//!
//! PTX lets `cvt.s64.s8 %rd2, %rd1` read the low byte of a 64-bit register, and lets a narrow result go to a wide one,
//! extended by its type. The table has no rows for that: an instruction that takes the low word, or extends one, is put
//! before or after.

use crate::syntax::{Function, Instruction, Operand, Register, RegisterClass, RegisterId};

/// Gives every conversion of a function registers of the widths of its types.
pub(crate) fn fit(function: &mut Function) {
    let mut body = Vec::with_capacity(function.body.len());
    let mut moved = Vec::with_capacity(function.body.len() + 1);
    for instruction in std::mem::take(&mut function.body) {
        moved.push(body.len());
        match widths(&instruction) {
            Some([to, from]) => convert(instruction, &to, &from, &mut function.registers, &mut body),
            None => body.push(instruction),
        }
    }
    moved.push(body.len());
    for place in &mut function.labels {
        *place = moved[*place];
    }
    function.body = body;
}

/// The types of a conversion, destination first.
fn widths(instruction: &Instruction) -> Option<[String; 2]> {
    let [.., to, from] = instruction.modifiers.as_slice() else { return None };
    (instruction.opcode == "cvt" && instruction.operands.len() == 2).then(|| [to.clone(), from.clone()])
}

fn is_narrow(kind: &str) -> bool {
    matches!(kind, "u8" | "s8" | "u16" | "s16" | "u32" | "s32" | "b8" | "b16" | "b32" | "f16" | "bf16" | "f32")
}

fn convert(
    mut instruction: Instruction,
    to: &str,
    from: &str,
    registers: &mut Vec<Register>,
    body: &mut Vec<Instruction>,
) {
    let is_wide = |operand: &Operand, registers: &[Register]| match operand {
        Operand::Register(id) => registers[id.0 as usize].class == RegisterClass::B64,
        _ => false,
    };
    let word = |registers: &mut Vec<Register>| {
        registers.push(Register { name: format!("%low{}", registers.len()), class: RegisterClass::B32 });
        Operand::Register(RegisterId(registers.len() as u32 - 1))
    };
    if is_narrow(from) && is_wide(&instruction.operands[1], registers) {
        let low = word(registers);
        let wide = std::mem::replace(&mut instruction.operands[1], low.clone());
        body.push(spelled(&instruction, ["u32", "u64"], [low, wide]));
    }
    if is_narrow(to) && is_wide(&instruction.operands[0], registers) {
        let low = word(registers);
        let wide = std::mem::replace(&mut instruction.operands[0], low.clone());
        let types = match to {
            "s8" => ["s64", "s8"],
            "s16" => ["s64", "s16"],
            "s32" => ["s64", "s32"],
            _ => ["u64", "u32"],
        };
        let extension = spelled(&instruction, types, [wide, low]);
        body.push(instruction);
        body.push(extension);
    } else {
        body.push(instruction);
    }
}

/// A conversion between two integer types at the place of another, under the same guard.
fn spelled(like: &Instruction, types: [&str; 2], operands: [Operand; 2]) -> Instruction {
    Instruction { modifiers: types.map(str::to_owned).into(), operands: operands.into(), ..like.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(text: &str) -> Vec<String> {
        let module = format!(
            ".version 9.0 .target sm_80 .address_size 64 .visible .entry k() {{
                .reg .b64 %rd<3>; .reg .b32 %r<3>; .reg .pred %p<2>;
                bra END; {text} END: ret; }}"
        );
        let mut function = crate::syntax::parse(&module).unwrap().functions.remove(0);
        fit(&mut function);
        let printed = (1..function.body.len() - 1).map(|at| function.print(at).to_string()).collect();
        assert_eq!(function.labels, [function.body.len() - 1]);
        printed
    }

    #[test]
    fn wide_registers_are_read_and_written_through_a_word() {
        assert_eq!(
            fitted("@%p1 cvt.s64.s8 %rd2, %rd1;"),
            ["@%p1 cvt.u32.u64 %low3, %rd1;", "@%p1 cvt.s64.s8 %rd2, %low3;"]
        );
        assert_eq!(fitted("cvt.s16.s32 %rd2, %r1;"), ["cvt.s16.s32 %low2, %r1;", "cvt.s64.s16 %rd2, %low2;"]);
        assert_eq!(fitted("cvt.s64.s32 %rd2, %r1;"), ["cvt.s64.s32 %rd2, %r1;"]);
    }
}
