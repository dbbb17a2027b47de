//! What the emulator counts, apart from what it does: costs speak of it.

pub use ptx_emulator::Stats;
