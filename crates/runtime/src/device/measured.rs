//! A result and what it cost.

use std::time::Instant;

#[cfg(feature = "emulator")]
use super::emulator::stats::Stats;

/// A result and what it cost the device.
#[derive(Clone, Debug)]
pub struct Measured<T> {
    /// The result.
    pub value: T,
    /// What it cost.
    pub cost: Cost,
}

/// What a result cost.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Cost {
    /// Milliseconds. Of a GPU this is the kernel alone, without compiling it and without copies between host and device;
    /// of the emulator it is the time that emulating the kernel took.
    pub ms: f64,
    /// What the emulator counted; None on every other device.
    #[cfg(feature = "emulator")]
    pub stats: Option<Stats>,
}

impl Cost {
    /// So many milliseconds, and nothing counted.
    pub fn of_ms(ms: f64) -> Cost {
        Cost { ms, ..Cost::default() }
    }

    /// Adds what came after.
    pub fn add(&mut self, other: &Cost) {
        self.ms += other.ms;
        #[cfg(feature = "emulator")]
        match (&mut self.stats, &other.stats) {
            (Some(stats), Some(more)) => stats.add(more),
            (stats @ None, Some(more)) => *stats = Some(more.clone()),
            (_, None) => {}
        }
    }
}

impl<T> Measured<T> {
    /// Makes a result on this machine's cores, under its clock.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn on_host<E>(make: impl FnOnce() -> Result<T, E>) -> Result<Measured<T>, E> {
        let start = Instant::now();
        let value = make()?;
        Ok(Measured { value, cost: Cost::of_ms(start.elapsed().as_secs_f64() * 1e3) })
    }
}
