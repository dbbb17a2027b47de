//! Where the variables of a kernel lie.

use std::collections::HashMap;

use super::variables::{address_of_function, initial_bytes};
use crate::memory::global::Memory;
use crate::memory::{Region, Space, shared};
use crate::syntax::{self, Function, Module};

/// Free bytes between two variables of shared memory, so that running over an end meets nothing.
const GAP: u64 = 16;

/// Addresses of variables and parameters, each in its own space.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    addresses: HashMap<String, (Space, u64)>,
    /// Static variables of shared memory.
    pub(crate) shared: Vec<Region>,
    /// The variable whose size the launch gives, without its size.
    pub(crate) dynamic: Option<Region>,
    /// Bytes of a thread's stack frame.
    pub(crate) local_bytes: u64,
    /// Constants, from address 0.
    pub(crate) constants: Vec<u8>,
    /// Bytes of the parameters.
    pub(crate) param_bytes: u64,
}

/// Most bytes that constants or a stack frame may take: what a GPU has.
const MOST_CONSTANT_BYTES: u64 = 64 * 1024;
const MOST_LOCAL_BYTES: u64 = 512 * 1024;
/// Most bytes of parameters that any GPU takes.
const MOST_PARAM_BYTES: u64 = 32_764;
/// Most bytes of shared memory that any GPU gives to a CTA, and some more.
pub(crate) const MOST_SHARED_BYTES: u64 = 256 * 1024;

impl Layout {
    /// Lays out what a function can name.
    ///
    /// # Errors
    /// The variable that has no place, and why.
    pub(super) fn new(
        module: &Module,
        variables: &Memory,
        function: &Function,
    ) -> Result<Layout, (syntax::Position, String)> {
        let mut layout = Layout::default();
        for function in &module.functions {
            if let Some(address) = address_of_function(module, &function.name) {
                layout.place(&function.name, Space::Global, address);
            }
        }
        for allocation in variables.allocations() {
            layout.place(&allocation.region.name, Space::Global, allocation.region.base);
        }
        for param in &function.params {
            layout.addresses.insert(param.name.clone(), (Space::Param, param.offset));
            layout.param_bytes = layout.param_bytes.max(param.offset.saturating_add(param.bytes));
        }
        if layout.param_bytes > MOST_PARAM_BYTES {
            let what = format!("{} bytes of parameters; a kernel has at most {MOST_PARAM_BYTES}", layout.param_bytes);
            return Err((function.position, what));
        }
        let mut end = u64::from(shared::FIRST);
        let mut dynamic = Vec::new();
        for variable in module.variables.iter().chain(&function.shared).chain(&function.local) {
            let refuse = |what: String| Err((variable.position, what));
            match (variable.space, variable.bytes) {
                (syntax::Space::Shared, None) => dynamic.push(variable),
                (syntax::Space::Shared, Some(bytes)) => {
                    let base = end.next_multiple_of(variable.align.clamp(1, 1 << 20));
                    end = base.saturating_add(bytes).saturating_add(GAP);
                    if end > u64::from(shared::FIRST) + MOST_SHARED_BYTES {
                        return refuse(format!(
                            "{} and the variables before it take {} bytes of shared memory; a CTA has at most {}",
                            variable.name,
                            end - u64::from(shared::FIRST),
                            MOST_SHARED_BYTES
                        ));
                    }
                    layout.place(&variable.name, Space::Shared, base);
                    layout.shared.push(Region { name: variable.name.clone(), base, bytes });
                }
                (syntax::Space::Local, Some(bytes)) => {
                    let base = layout.local_bytes.next_multiple_of(variable.align.clamp(1, 1 << 20));
                    layout.local_bytes = base.saturating_add(bytes);
                    if layout.local_bytes > MOST_LOCAL_BYTES {
                        return refuse(format!(
                            "{} and the variables before it take {} bytes of local memory; a thread has at most {}",
                            variable.name, layout.local_bytes, MOST_LOCAL_BYTES
                        ));
                    }
                    layout.place(&variable.name, Space::Local, base);
                }
                (syntax::Space::Const, Some(bytes)) => {
                    let base = (layout.constants.len() as u64).next_multiple_of(variable.align.clamp(1, 1 << 16));
                    if base.saturating_add(bytes) > MOST_CONSTANT_BYTES {
                        return refuse(format!(
                            "{} and the constants before it take {} bytes; a module has at most {}",
                            variable.name,
                            base.saturating_add(bytes),
                            MOST_CONSTANT_BYTES
                        ));
                    }
                    let Some(initial) = initial_bytes(variable, bytes as usize, |name| layout.generic(name)) else {
                        continue;
                    };
                    layout.constants.resize(base as usize, 0);
                    layout.constants.extend(initial);
                    layout.place(&variable.name, Space::Const, base);
                }
                // Reported where an instruction names it: headers bring many that nobody uses.
                _ => {}
            }
        }
        // All unsized variables begin at one address.
        if let Some(align) = dynamic.iter().map(|variable| variable.align).max() {
            let base = end.next_multiple_of(align.clamp(16, 1 << 20));
            for variable in &dynamic {
                layout.place(&variable.name, Space::Shared, base);
            }
            layout.dynamic = Some(Region { name: dynamic[0].name.clone(), base, bytes: 0 });
        }
        Ok(layout)
    }

    /// Space and address of a variable or parameter.
    pub(super) fn find(&self, name: &str) -> Option<(Space, u64)> {
        self.addresses.get(name).copied()
    }

    /// The generic address of a variable of global memory.
    fn generic(&self, name: &str) -> Option<u64> {
        self.find(name).and_then(|(space, address)| (space == Space::Global).then_some(address))
    }

    fn place(&mut self, name: &str, space: Space, address: u64) {
        self.addresses.insert(name.to_owned(), (space, address));
    }
}
