//! Variables of global memory that a text declares. They live as long as the program, and all its kernels share them.

use crate::memory::global::{Buffer, Memory};
use crate::syntax::{Function, FunctionKind, InitValue, Module, Space, Variable};

/// Where they begin: far behind all buffers of a [`Memory`], and before the windows of other spaces.
const FIRST: u64 = 0x4000_0000_0000;
/// Most bytes that they may take: what lies behind is not placed, and is refused where an instruction names it.
const MOST_BYTES: u64 = 64 << 20;

/// Places the variables of a module, and gives them their initial values.
pub(crate) fn place(module: &Module) -> Memory {
    let mut memory = Memory::starting_at(FIRST);
    let mut left = MOST_BYTES;
    let mut placed: Vec<(&Variable, Buffer)> = Vec::new();
    for variable in module.variables.iter().filter(|variable| variable.space == Space::Global) {
        // Declared here, and defined elsewhere: nobody knows what it holds.
        let Some(bytes) = variable.bytes.filter(|bytes| *bytes <= left) else { continue };
        if variable.linkage == crate::syntax::Linkage::Extern {
            continue;
        }
        left -= bytes;
        placed.push((variable, memory.alloc(&variable.name, bytes as usize)));
    }
    let address_of = |name: &str| {
        let variable = placed.iter().find(|(variable, _)| variable.name == name);
        variable.map(|(_, buffer)| buffer.address()).or_else(|| address_of_function(module, name))
    };
    let mut unknown = Vec::new();
    for (variable, buffer) in &placed {
        match initial_bytes(variable, variable.bytes.unwrap_or(0) as usize, address_of) {
            Some(initial) => memory.write(*buffer, &initial),
            None => unknown.push(*buffer),
        }
    }
    // Nobody may name them: they hold an address that is not known.
    unknown.into_iter().for_each(|buffer| memory.forget(buffer));
    memory
}

/// Where functions begin: nothing can be read there.
const FUNCTIONS: u64 = 0x5000_0000_0000;

/// What stands for the address of a function.
pub(super) fn address_of_function(module: &Module, name: &str) -> Option<u64> {
    let name = module.aliases.get(name).map_or(name, String::as_str);
    let is = |function: &Function| function.kind == FunctionKind::Device && function.name == name;
    module.functions.iter().position(is).map(|at| FUNCTIONS + 16 * at as u64)
}

/// What a variable holds at first; None if that is an address that is not known.
pub(super) fn initial_bytes(
    variable: &Variable,
    bytes: usize,
    address_of: impl Fn(&str) -> Option<u64>,
) -> Option<Vec<u8>> {
    let width = (variable.element_bytes as usize).clamp(1, 8);
    let mut out: Vec<u8> = Vec::with_capacity(bytes);
    for value in &variable.init {
        let bits = match value {
            InitValue::Integer(value) => *value as u64,
            InitValue::Float32(bits) => u64::from(*bits),
            InitValue::Float64(bits) if width == 4 => u64::from((f64::from_bits(*bits) as f32).to_bits()),
            InitValue::Float64(bits) => *bits,
            InitValue::Address { name, offset, .. } => address_of(name)?.wrapping_add(*offset as u64),
        };
        out.extend(&bits.to_le_bytes()[..width]);
    }
    out.resize(bytes, 0);
    Some(out)
}
