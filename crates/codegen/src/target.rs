//! GPU targets and their limits.

use serde::{Deserialize, Serialize};
use sparsym_ir::{Code, Finding};

/// An architecture that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Spelling for the compiler, `sm_80`.
    name: &'static str,
    /// Compute capability, 10 · major + minor.
    capability: u32,
    /// Dynamic shared memory that a CTA may ask for, in bytes.
    shared_bytes: u32,
}

const KIB: u32 = 1024;

/// Limits from the CUDA programming guide's table of compute capabilities; 1 KiB a CTA stays with the system.
const TARGETS: [Target; 8] = [
    Target { name: "sm_80", capability: 80, shared_bytes: 163 * KIB },
    Target { name: "sm_86", capability: 86, shared_bytes: 99 * KIB },
    Target { name: "sm_89", capability: 89, shared_bytes: 99 * KIB },
    Target { name: "sm_90", capability: 90, shared_bytes: 227 * KIB },
    Target { name: "sm_90a", capability: 90, shared_bytes: 227 * KIB },
    Target { name: "sm_100", capability: 100, shared_bytes: 227 * KIB },
    Target { name: "sm_103", capability: 103, shared_bytes: 227 * KIB },
    Target { name: "sm_120", capability: 120, shared_bytes: 99 * KIB },
];

impl Target {
    /// The target of that name.
    ///
    /// # Errors
    /// Finding S601 with the known names.
    pub fn parse(name: &str) -> Result<Target, Finding> {
        TARGETS.into_iter().find(|target| target.name == name).ok_or_else(|| unknown(format!("target {name}")))
    }

    /// The target for a device: its own architecture, with the features of exactly that chip where there are any.
    ///
    /// # Errors
    /// Finding S601 with the known names.
    pub fn for_compute_capability(major: u32, minor: u32) -> Result<Target, Finding> {
        let capability = 10 * major + minor;
        TARGETS
            .into_iter()
            .rev()
            .find(|target| target.capability == capability)
            .ok_or_else(|| unknown(format!("compute capability {major}.{minor}")))
    }

    /// All targets.
    pub fn all() -> &'static [Target] {
        &TARGETS
    }

    /// Spelling for the compiler, `sm_90a`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Compute capability, 10 · major + minor.
    pub fn capability(&self) -> u32 {
        self.capability
    }

    /// Whether it has `wgmma` and `setmaxnreg`: features of exactly that chip.
    pub fn has_warpgroup_products(&self) -> bool {
        self.name == "sm_90a"
    }

    /// Dynamic shared memory that a CTA may ask for, in bytes.
    pub fn shared_bytes(&self) -> u32 {
        self.shared_bytes
    }
}

fn unknown(what: String) -> Finding {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    Finding::new(Code::UnknownTarget, format!("{what} is not known"), format!("use one of {}", names.join(", ")))
}
