//! What this machine can run the corpus on, and the oracle that all of it is compared with.

use std::sync::Arc;

use sparsym::Error;
use sparsym::device::emulator::{Copies, KernelTrap, Options, Schedule, Settings};
use sparsym::device::{self, Device, Emulator};
use sparsym::ir::diagnostic::Family;
use sparsym::ir::{AttentionCall, AttentionOutput, Findings, Symbols, SymbolsCall};
use sparsym::kernel::Target;
use sparsym_reference::Exact;
use sparsym_reference::margin::Margins;

/// Every device of this version. After `emulator` stands the target whose kernels it runs.
pub const NAMES: &[&str] = &["reference", "cpu", "emulator sm_80", "emulator sm_90a", "emulator sm_120", "cuda"];

/// Those of [`NAMES`] that need no hardware. The emulator needs libnvrtc, as the tests that compile kernels do.
pub const EVERYWHERE: &[&str] = &["reference", "cpu", "emulator sm_80", "emulator sm_90a", "emulator sm_120"];

/// A device under the name that reports give it.
pub struct Column {
    /// One of [`NAMES`], or a target of the emulator that is not among them.
    pub name: String,
    /// The device.
    pub device: Arc<dyn Device>,
}

/// A device, or why there is none.
pub enum Availability {
    /// Ready.
    Present(Column),
    /// Not on this machine.
    Absent {
        /// What stands in the way, on one line.
        reason: String,
    },
}

/// Why a device gave no result.
pub enum Stop {
    /// It cannot do this kind of call, and said so with a finding about the target.
    Declined(String),
    /// The emulator stopped its kernel.
    Trapped {
        /// The fault's short name.
        fault: &'static str,
        /// The whole report.
        report: String,
    },
    /// Anything else.
    Failed(String),
}

/// Opens the device of that name.
pub fn find(name: &str) -> Availability {
    let opened = match name.split_once(' ') {
        Some(("emulator", target)) => emulator(target),
        _ => device::open(name),
    };
    match opened {
        Ok(device) => Availability::Present(Column { name: name.to_owned(), device: device.into() }),
        Err(error) => Availability::Absent { reason: error.to_string().lines().next().unwrap_or_default().to_owned() },
    }
}

/// `TARGET`, or `TARGET seed N`: warps then take turns at random, and copies come late or early, by that seed.
fn emulator(words: &str) -> Result<Box<dyn Device>, Error> {
    let seeded = words.split_once(" seed ").and_then(|(target, seed)| Some((target, seed.parse::<u64>().ok()?)));
    let (target, options) = match seeded {
        None => (words, Options::default()),
        Some((target, seed)) => {
            let copies = if seed % 2 == 0 { Copies::Latest } else { Copies::Earliest };
            (target, Options { schedule: Schedule::Random, copies, seed, ..Options::default() })
        }
    };
    let settings = Settings { target: Target::parse(target)?, options, ..Settings::default() };
    Ok(Box::new(Emulator::open(settings)?))
}

/// The truth: plain loops in f64, not rounded to the type of the call.
///
/// # Errors
/// What is wrong with the call.
pub fn oracle(call: &AttentionCall<'_>) -> Result<Exact, String> {
    sparsym_reference::exact(call).map_err(|findings| findings.to_string())
}

/// The same loops, with every value rounded as a kernel of this element type must round it.
///
/// # Errors
/// What is wrong with the call.
pub fn yardstick(call: &AttentionCall<'_>) -> Result<AttentionOutput, String> {
    sparsym_reference::same_precision(call).map_err(|findings| findings.to_string())
}

/// The symbols by the definition: every token pair is looked at. And how near each decision was to the other outcome.
pub fn oracle_symbols(call: &SymbolsCall<'_>) -> (Symbols, Margins) {
    sparsym_reference::symbols::symbols_with_margins(call)
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        let declined = error
            .downcast_ref()
            .filter(|findings: &&Findings| findings.iter().all(|finding| finding.code.family() == Family::Target));
        match (declined, error.downcast_ref::<KernelTrap>()) {
            (Some(findings), _) => {
                Stop::Declined(findings.iter().map(|f| f.message.as_str()).collect::<Vec<_>>().join("; "))
            }
            (None, Some(stopped)) => Stop::Trapped { fault: stopped.trap.fault.name(), report: error.to_string() },
            (None, None) => Stop::Failed(error.to_string()),
        }
    }
}
