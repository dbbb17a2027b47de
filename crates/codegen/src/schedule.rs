//! Who loads, who multiplies and who waits in a kernel that multiplies tiles.

use serde::Serialize;

/// A way to run the products of a tile; each has its own file for a room, and its own table of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// One warp copies boxes with the tensor memory accelerator, warpgroups multiply with `wgmma`, and CTAs stay resident; for
    /// targets that have both.
    Specialised,
    /// Every warp copies with `cp.async` and multiplies with `mma.sync`; for every target.
    Portable,
}

impl Schedule {
    /// All of them, the fastest first.
    pub const ALL: &[Schedule] = &[Schedule::Specialised, Schedule::Portable];

    /// The one that a text was generated for.
    pub fn of_text(text: &str) -> Schedule {
        if text.contains("TensorMap") { Schedule::Specialised } else { Schedule::Portable }
    }

    /// Its name, which is that of its template files.
    pub fn name(self) -> &'static str {
        match self {
            Schedule::Specialised => "specialised",
            Schedule::Portable => "portable",
        }
    }
}
