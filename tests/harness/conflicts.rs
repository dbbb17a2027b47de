//! Bank conflicts: time that a kernel loses without a wrong number.

use sparsym::device::emulator::Stats;

/// Refuses every bank conflict: the accesses of the present kernels, of all cases and targets, meet in no bank. A kernel
/// that cannot do without some gets its number here, with the reason.
///
/// # Errors
/// How many passes are wasted, and the instruction that wastes most.
pub fn check(stats: &Stats) -> Result<(), String> {
    let Some(worst) = stats.conflicts.first() else { return Ok(()) };
    let place = worst.source.clone().unwrap_or_else(|| format!("PTX line {}", worst.ptx_line));
    Err(format!(
        "bank conflicts: {} passes through shared memory more than the accesses need; most at {place}: {} in place of {}\n    {}\n\
         help: lanes that are served together must lie in different banks; `in_panel` in the kernel sees to that",
        stats.bank_conflicts(),
        worst.wavefronts,
        worst.ideal,
        worst.instruction,
    ))
}
