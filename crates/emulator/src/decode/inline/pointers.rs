//! Calls through pointers: a comparison with the address of each function whose address a text takes and whose parameters
//! are as wide, and the body of that function where it is equal.

use super::{Inliner, plain, symbol};
use crate::decode::variables::address_of_function;
use crate::syntax::{
    Function, FunctionKind, Guard, InitValue, Instruction, Module, Operand, Param, Register, RegisterClass, RegisterId,
};

impl Inliner<'_> {
    /// Writes out a call, or leaves it as it is.
    pub(super) fn call_through_pointer(&mut self, call: Instruction) {
        let module = self.module;
        let Some((pointer, results, arguments)) = parts(&call) else { return self.out.body.push(call) };
        let fits = |params: &[Param], given: &[&str]| {
            let bytes = |name: &str| self.out.local.iter().find(|variable| variable.name == name)?.bytes;
            params.len() == given.len()
                && params.iter().zip(given).all(|(param, name)| bytes(name) == Some(param.bytes))
        };
        let targets: Vec<&Function> = module
            .functions
            .iter()
            .filter(|function| function.kind == FunctionKind::Device && is_taken(module, &function.name))
            .filter(|function| fits(&function.returns, &results) && fits(&function.params, &arguments))
            .collect();
        if targets.is_empty() || !targets.iter().all(|function| self.may_write_out(function)) {
            return self.out.body.push(call);
        }
        let end = self.skipped_by(&call);
        self.out.registers.push(Register { name: "%is".to_owned(), class: RegisterClass::Pred });
        let is = RegisterId(self.out.registers.len() as u32 - 1);
        for target in targets {
            let next = self.new_label();
            let address = i128::from(address_of_function(module, &target.name).unwrap_or(0));
            let operands = vec![Operand::Register(is), pointer.clone(), Operand::Integer(address)];
            self.out.body.push(plain(&call, "setp", &["eq", "u64"], operands, None));
            self.go_to(&call, Some(next), Some(Guard { register: is, negated: true }));
            self.write_out(&call, target, &results, &arguments);
            self.go_to(&call, Some(end), None);
            self.place(next);
        }
        self.out.body.push(plain(&call, "__nofunction", &[], vec![pointer], None));
        self.place(end);
    }
}

/// The pointer of a call, and the variables of its results and arguments; the name of a prototype may follow.
fn parts(call: &Instruction) -> Option<(Operand, Vec<&str>, Vec<&str>)> {
    let (results, rest) = match call.operands.as_slice() {
        [Operand::Group(results), rest @ ..] => (results.as_slice(), rest),
        rest => (&[][..], rest),
    };
    let [pointer @ Operand::Register(_), rest @ ..] = rest else { return None };
    let arguments = match rest {
        [Operand::Group(arguments), ..] => arguments.as_slice(),
        _ => &[],
    };
    Some((
        pointer.clone(),
        results.iter().map(symbol).collect::<Option<_>>()?,
        arguments.iter().map(symbol).collect::<Option<_>>()?,
    ))
}

/// Whether a text takes the address of a function: in an instruction that is no call, or for a variable.
fn is_taken(module: &Module, name: &str) -> bool {
    let names = |operand: &Operand| matches!(operand, Operand::Symbol { name: found, .. } if found == name);
    let in_code = module.functions.iter().flat_map(|function| &function.body);
    let in_data = module.variables.iter().flat_map(|variable| &variable.init);
    in_code.filter(|ins| ins.opcode != "call").any(|ins| ins.operands.iter().any(names))
        || in_data.into_iter().any(|value| matches!(value, InitValue::Address { name: found, .. } if found == name))
}
