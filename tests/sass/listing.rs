//! Machine code as text: what NVIDIA's disassembler says of a cubin.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

/// Names the disassembler; `cargo xtask` installs one and sets it.
pub(crate) const VARIABLE: &str = "SPARSYM_NVDISASM";

/// Every instruction of sm_70 and later.
const INSTRUCTION_BYTES: usize = 16;

/// A `__global__` function.
#[derive(Debug, Deserialize)]
pub(crate) struct Function {
    #[serde(rename = "function-name")]
    pub(crate) name: String,
    #[serde(rename = "sass-instructions")]
    pub(crate) code: Vec<Instruction>,
}

/// `@!P0 BRA 0x1c0`
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Instruction {
    /// `@!P0`; nothing: always executed.
    #[serde(default)]
    pub(crate) predicate: Option<String>,
    /// `HGMMA.64x128x16.F32.BF16`
    pub(crate) opcode: String,
    /// `R24,gdesc[UR8],R24`
    #[serde(default)]
    pub(crate) operands: String,
}

impl Instruction {
    /// Whether the opcode is this one, with any modifiers behind it: `HGMMA`, `WARPGROUP.DEPBAR`.
    pub(crate) fn is(&self, opcode: &str) -> bool {
        self.opcode.strip_prefix(opcode).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// The instruction that the last operand names.
    pub(crate) fn target(&self) -> Option<usize> {
        let last = self.operands.rsplit(',').next()?.trim();
        let address = usize::from_str_radix(last.strip_prefix("0x")?, 16).ok()?;
        Some(address / INSTRUCTION_BYTES)
    }

    /// Numbers of the vector registers that it names; of wide operands the first one only.
    pub(crate) fn registers(&self) -> impl Iterator<Item = u32> {
        let words = self.operands.split(|c: char| !c.is_ascii_alphanumeric());
        words.filter_map(|word| word.strip_prefix('R')?.parse().ok())
    }
}

/// The program, or why there is none.
pub(crate) struct Disassembler(PathBuf);

impl Disassembler {
    /// The one that [`VARIABLE`] names.
    ///
    /// # Errors
    /// What is missing, and what helps.
    pub(crate) fn find() -> Result<Disassembler, String> {
        let named = std::env::var_os(VARIABLE)
            .ok_or_else(|| format!("{VARIABLE} names no nvdisasm; `cargo xtask test` installs one"))?;
        let program = PathBuf::from(named);
        match program.is_file() {
            true => Ok(Disassembler(program)),
            false => Err(format!("{VARIABLE} is {}, which is no file", program.display())),
        }
    }

    /// Functions of a cubin.
    ///
    /// # Errors
    /// What the disassembler says, or what in its answer is not understood.
    pub(crate) fn functions(&self, cubin: &[u8]) -> Result<Vec<Function>, String> {
        let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        std::fs::write(file.path(), cubin).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.0);
        let output = command.arg("-json").arg(file.path()).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("nvdisasm says: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        parse(&output.stdout)
    }
}

/// An answer is a pair: what is known of the file, and its functions.
fn parse(json: &[u8]) -> Result<Vec<Function>, String> {
    let (_, functions): (serde::de::IgnoredAny, Vec<Function>) =
        serde_json::from_slice(json).map_err(|error| format!("nvdisasm wrote what is not understood: {error}"))?;
    Ok(functions)
}
