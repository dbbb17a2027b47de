//! What a launch did, as a table.

use std::fmt::Write;

use ptx_emulator::Stats;

/// One line for each count that is not zero.
pub(crate) fn table(stats: &Stats) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(out, "{name:<22}{value}").expect("a String takes every text");
    };
    line("warp instructions", stats.warp_instructions.to_string());
    let lanes = stats.lane_instructions as f64 / stats.warp_instructions.max(1) as f64;
    line("lanes at work", format!("{lanes:.1} of 32"));
    let units: Vec<String> = stats.families.iter().map(|(unit, count)| format!("{unit} {count}")).collect();
    line("by unit", units.join(", "));
    for (spelling, count) in &stats.mma {
        line("matrix instruction", format!("{spelling} × {count}"));
    }
    for (name, traffic) in [
        ("global loads", stats.global_loads),
        ("global stores", stats.global_stores),
        ("global copies", stats.global_copies),
    ] {
        if traffic.bytes > 0 {
            line(name, format!("{} bytes in {} sectors of 32", traffic.bytes, traffic.sectors));
        }
    }
    if stats.shared.ideal > 0 {
        let (bytes, passes) = (stats.shared.bytes, stats.shared.wavefronts);
        line(
            "shared memory",
            format!("{bytes} bytes in {passes} passes, {} of them conflicts", stats.bank_conflicts()),
        );
    }
    for conflict in stats.conflicts.iter().take(5) {
        let source = conflict.source.as_deref().map_or(String::new(), |source| format!(", {source}"));
        let passes = format!("{} passes for {}", conflict.wavefronts, conflict.ideal);
        line("conflicting", format!("{passes}: {} (line {}{source})", conflict.instruction, conflict.ptx_line));
    }
    let occupancy = stats.occupancy;
    let bytes = occupancy.shared_bytes;
    line(
        "a CTA",
        format!("{} threads, {bytes} bytes of shared memory, about {} registers", occupancy.threads, occupancy.rows),
    );
    out
}
