//! Arithmetic of PTX that is not arithmetic of Rust.
//!
//! Everything that runs for each lane is `#[inline(always)]` and free of branches, so that the loops of the instruction
//! table become vector code for the features that they are compiled for.

pub(crate) mod approximate;
pub(crate) mod exact;
pub(crate) mod half;
pub(crate) mod product;
pub(crate) mod single;

/// Where a result goes that lies between two values of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To the nearer, and from the middle to the even one.
    Nearest = 0,
    /// Toward zero.
    Zero = 1,
    /// Toward negative infinity.
    Down = 2,
    /// Toward positive infinity.
    Up = 3,
}

/// The f32 that every f32 operation gives in place of any other NaN.
pub(crate) const NAN_F32: f32 = f32::from_bits(0x7FFF_FFFF);
/// The same for f64.
pub(crate) const NAN_F64: f64 = f64::from_bits(0x7FFF_FFFF_FFFF_FFFF);
