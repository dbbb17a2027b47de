//! What the compiler says: resources of each kernel, notes that make a kernel slow, and errors with their lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one kernel takes of an SM, as the assembler reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of a thread that are written to local memory because registers ran out.
    pub spill_stores: u32,
    /// Bytes read back.
    pub spill_loads: u32,
    /// Bytes of a thread's stack frame.
    pub stack: u32,
    /// Static shared memory of a CTA in bytes; dynamic shared memory is not known to the compiler.
    pub shared_bytes: u32,
    /// Constant memory in bytes, parameters included, all banks together.
    pub constant_bytes: u32,
}

/// An error or warning with a line of the compiled text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Line, counted from 1.
    pub line: usize,
    /// `error: identifier "x" is undefined`.
    pub text: String,
}

/// Resources of every kernel that the log of `--ptxas-options=-v` names.
///
/// ```
/// let log = "ptxas info    : Compiling entry function 'k' for 'sm_80'\n\
///            ptxas info    : Function properties for k\n\
///            ptxas         .     8 bytes stack frame, 0 bytes spill stores, 4 bytes spill loads\n\
///            ptxas info    : Used 12 registers, used 1 barriers, 256 bytes smem, 360 bytes cmem[0]\n";
/// let k = sparsym_runtime::nvrtc::log::resources(log)["k"];
/// assert_eq!((k.registers, k.spill_loads, k.stack, k.shared_bytes), (12, 4, 8, 256));
/// ```
pub fn resources(log: &str) -> BTreeMap<String, Resources> {
    let mut out: BTreeMap<String, Resources> = BTreeMap::new();
    let mut entry: Option<String> = None;
    // Properties are printed for device functions too; only those of the entry itself are its own.
    let mut of_entry = false;
    for line in log.lines() {
        if let Some(rest) = after(line, "Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or_default().to_owned();
            out.insert(name.clone(), Resources::default());
            entry = Some(name);
        } else if let Some(rest) = after(line, "Function properties for ") {
            of_entry = entry.as_deref() == Some(rest.trim().trim_matches('\''));
        }
        let Some(found) = entry.as_ref().and_then(|name| out.get_mut(name)) else { continue };
        if of_entry && line.contains("bytes stack frame") {
            found.stack = number_before(line, " bytes stack frame");
            found.spill_stores = number_before(line, " bytes spill stores");
            found.spill_loads = number_before(line, " bytes spill loads");
        } else if let Some(rest) = after(line, ": Used ") {
            found.registers = number_before(rest, " registers");
            found.shared_bytes = number_before(rest, " bytes smem");
            found.constant_bytes = rest
                .split(',')
                .filter(|part| part.contains("bytes cmem["))
                .map(|p| number_before(p, " bytes cmem"))
                .sum();
        }
    }
    out
}

/// Names of the kernels of a PTX text.
pub(crate) fn entries(ptx: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(ptx);
    let names = text.lines().filter_map(|line| after(line, ".entry ")?.split(['(', ' ']).next());
    names.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Notes that ptxas calls information but that cost most of a kernel's speed: serialised tensor-core instructions
/// (C75xx) and lost register hints. Neither `-Werror` nor `-w` touches them.
pub fn slow_notes(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("(C75") || line.contains("Potential Performance Loss")).collect()
}

/// Errors of the log, which refer to the text by `name(line): error`.
pub fn errors(log: &str, name: &str) -> Vec<Message> {
    let mut out = Vec::new();
    for line in log.lines() {
        let Some(rest) = after(line, name).and_then(|rest| rest.strip_prefix('(')) else { continue };
        let Some((number, text)) = rest.split_once(')') else { continue };
        let text = text.trim_start_matches([':', ' ']);
        if let Ok(line) = number.parse()
            && (text.starts_with("error") || text.starts_with("catastrophic error"))
        {
            out.push(Message { line, text: text.to_owned() });
        }
    }
    out
}

fn after<'a>(line: &'a str, words: &str) -> Option<&'a str> {
    line.find(words).map(|at| &line[at + words.len()..])
}

/// The number that stands right before these words; 0 if they do not occur.
fn number_before(line: &str, words: &str) -> u32 {
    let Some(at) = line.find(words) else { return 0 };
    let digits = line[..at].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |before| before + 1);
    line[digits..at].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As NVRTC 13.0.88 printed it for two kernels.
    const LOG: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'b' for 'sm_80'
ptxas info    : Function properties for b
ptxas         .     152 bytes stack frame, 160 bytes spill stores, 176 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 152 bytes cumulative stack size, 364 bytes cmem[0]
ptxas info    : Compile time = 15.711 ms
ptxas info    : Compiling entry function 'a' for 'sm_80'
ptxas info    : Function properties for a
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Function properties for callee
ptxas         .     64 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 12 registers, used 1 barriers, 256 bytes smem, 360 bytes cmem[0], 8 bytes cmem[2]
";

    #[test]
    fn each_entry_has_its_own_resources() {
        let found = resources(LOG);
        let b = Resources {
            registers: 32,
            spill_stores: 160,
            spill_loads: 176,
            stack: 152,
            shared_bytes: 0,
            constant_bytes: 364,
        };
        let a = Resources { registers: 12, shared_bytes: 256, constant_bytes: 368, ..Resources::default() };
        assert_eq!(found, BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]));
    }

    #[test]
    fn serialised_tensor_core_instructions_are_noticed() {
        let log = "ptxas info : (C7512) Potential Performance Loss: wgmma.mma_async instructions are serialized\nother";
        assert_eq!(slow_notes(log).len(), 1);
        assert!(slow_notes(LOG).is_empty());
    }

    #[test]
    fn errors_keep_their_lines_and_warnings_are_left() {
        let log = "k.cu(3): warning #177-D: unused\nk.cu(12): error: identifier \"x\" is undefined\n  x = 1;\n  ^\n";
        let expected = Message { line: 12, text: "error: identifier \"x\" is undefined".to_owned() };
        assert_eq!(errors(log, "k.cu"), [expected]);
    }
}
