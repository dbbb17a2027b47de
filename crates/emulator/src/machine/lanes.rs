//! The registers of one warp, and how a lane's value is read from and written to them.
//!
//! A register is a *row*: the values of 32 lanes side by side, so that one host vector instruction serves eight of them.
//! Predicates are bit masks, 8- to 32-bit values live in words, 64-bit values in wides. Immediates and special registers
//! are rows that nothing writes.

/// Lanes of a warp.
pub(crate) const WARP: usize = 32;

/// A row of 32-bit values. 16-bit values are kept zero-extended.
pub(crate) type Words = [u32; WARP];
/// A row of 64-bit values.
pub(crate) type Wides = [u64; WARP];

/// Set in the index of a predicate that is read inverted.
pub(crate) const INVERTED: u16 = 1 << 15;

/// Keeps every row on cache lines of its own.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Aligned<T>(T);

/// All registers of a warp and the mask of the lanes that execute.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    predicates: Vec<u32>,
    words: Vec<Aligned<Words>>,
    wides: Vec<Aligned<Wides>>,
    mask: u32,
    /// The carry of extended-precision integer arithmetic: a bit a lane. No text names it.
    carry: u32,
    /// `mask` as a row: all ones in a lane that executes. Blending with it is what partial execution costs.
    blend: Aligned<Words>,
}

impl Lanes {
    /// Registers with these values; no lane executes yet.
    pub(crate) fn new(predicates: &[u32], words: &[Words], wides: &[Wides]) -> Lanes {
        Lanes {
            predicates: predicates.to_vec(),
            words: words.iter().copied().map(Aligned).collect(),
            wides: wides.iter().copied().map(Aligned).collect(),
            mask: 0,
            carry: 0,
            blend: Aligned([0; WARP]),
        }
    }

    /// Lanes that execute the present instruction.
    #[inline(always)]
    pub(crate) fn mask(&self) -> u32 {
        self.mask
    }

    /// Chooses the lanes that execute from now on.
    #[inline(always)]
    pub(crate) fn set_mask(&mut self, mask: u32) {
        if mask != self.mask {
            self.mask = mask;
            self.blend.0 = spread(mask);
        }
    }

    /// Lanes, of the executing ones, whose predicate holds.
    #[inline(always)]
    pub(crate) fn predicate(&self, at: u16) -> u32 {
        let bits = self.predicates[usize::from(at & !INVERTED)];
        if at & INVERTED == 0 { bits } else { !bits }
    }

    /// Writes a predicate in the executing lanes.
    #[inline(always)]
    pub(crate) fn set_predicate(&mut self, at: u16, bits: u32) {
        let row = &mut self.predicates[usize::from(at)];
        *row = *row & !self.mask | bits & self.mask;
    }

    /// The carry of each lane.
    #[inline(always)]
    pub(crate) fn carry(&self) -> u32 {
        self.carry
    }

    /// Writes the carry in the executing lanes.
    #[inline(always)]
    pub(crate) fn set_carry(&mut self, bits: u32) {
        self.carry = self.carry & !self.mask | bits & self.mask;
    }

    /// A row of words.
    #[inline(always)]
    pub(crate) fn words(&self, at: u16) -> &Words {
        &self.words[usize::from(at)].0
    }

    /// Writes a row of words in the executing lanes.
    #[inline(always)]
    pub(crate) fn set_words(&mut self, at: u16, values: &Words) {
        let row = &mut self.words[usize::from(at)].0;
        if self.mask == u32::MAX {
            *row = *values;
        } else {
            for lane in 0..WARP {
                let keep = !self.blend.0[lane];
                row[lane] = row[lane] & keep | values[lane] & !keep;
            }
        }
    }

    /// Writes one lane of a row of words, whether it executes or not.
    #[inline(always)]
    pub(crate) fn set_word(&mut self, at: u16, lane: usize, value: u32) {
        self.words[usize::from(at)].0[lane] = value;
    }

    /// A row of wides.
    #[inline(always)]
    pub(crate) fn wides(&self, at: u16) -> &Wides {
        &self.wides[usize::from(at)].0
    }

    /// Writes a row of wides in the executing lanes.
    #[inline(always)]
    pub(crate) fn set_wides(&mut self, at: u16, values: &Wides) {
        let row = &mut self.wides[usize::from(at)].0;
        if self.mask == u32::MAX {
            *row = *values;
        } else {
            for lane in 0..WARP {
                let keep = !(self.blend.0[lane] as i32 as i64 as u64);
                row[lane] = row[lane] & keep | values[lane] & !keep;
            }
        }
    }

    /// Writes one lane of a row of wides, whether it executes or not.
    #[inline(always)]
    pub(crate) fn set_wide(&mut self, at: u16, lane: usize, value: u64) {
        self.wides[usize::from(at)].0[lane] = value;
    }
}

/// A bit mask as a row: all ones where the bit is set.
#[inline(always)]
pub(crate) fn spread(bits: u32) -> Words {
    let mut row = [0; WARP];
    for (lane, value) in row.iter_mut().enumerate() {
        *value = 0u32.wrapping_sub(bits >> lane & 1);
    }
    row
}

/// A function of every value of a row. Unlike `map` of arrays, it is certain to become vector code.
#[inline(always)]
pub(crate) fn each<T: Copy, U: Copy + Default>(row: &[T; WARP], function: impl Fn(T) -> U) -> [U; WARP] {
    let mut out = [U::default(); WARP];
    for lane in 0..WARP {
        out[lane] = function(row[lane]);
    }
    out
}

/// The lanes of a mask, in ascending order.
#[inline(always)]
pub(crate) fn lanes_of(mask: u32) -> impl Iterator<Item = usize> {
    let mut left = mask;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let lane = left.trailing_zeros() as usize;
        left &= left - 1;
        Some(lane)
    })
}

/// A type that a lane's value can have. It says in which kind of row it lives.
pub(crate) trait Lane: Copy {
    /// Anything; rows start from it.
    const ZERO: Self;
    /// The values of all lanes.
    fn load(lanes: &Lanes, at: u16) -> [Self; WARP];
    /// Writes the executing lanes.
    fn store(lanes: &mut Lanes, at: u16, values: [Self; WARP]);
}

macro_rules! lane {
    ($($type:ty: $load:ident, $store:ident, |$raw:ident| $from:expr, |$value:ident| $into:expr;)*) => {$(
        impl Lane for $type {
            const ZERO: Self = 0 as $type;

            #[inline(always)]
            fn load(lanes: &Lanes, at: u16) -> [Self; WARP] {
                let row = *lanes.$load(at);
                let mut out = [Self::ZERO; WARP];
                for lane in 0..WARP {
                    let $raw = row[lane];
                    out[lane] = $from;
                }
                out
            }

            #[inline(always)]
            fn store(lanes: &mut Lanes, at: u16, values: [Self; WARP]) {
                let mut row = [0; WARP];
                for lane in 0..WARP {
                    let $value = values[lane];
                    row[lane] = $into;
                }
                lanes.$store(at, &row);
            }
        }
    )*};
}

lane! {
    u32: words, set_words, |raw| raw, |value| value;
    i32: words, set_words, |raw| raw as i32, |value| value as u32;
    f32: words, set_words, |raw| f32::from_bits(raw), |value| value.to_bits();
    u16: words, set_words, |raw| raw as u16, |value| u32::from(value);
    i16: words, set_words, |raw| raw as i16, |value| u32::from(value as u16);
    u64: wides, set_wides, |raw| raw, |value| value;
    i64: wides, set_wides, |raw| raw as i64, |value| value as u64;
    f64: wides, set_wides, |raw| f64::from_bits(raw), |value| value.to_bits();
}

impl Lane for bool {
    const ZERO: Self = false;

    #[inline(always)]
    fn load(lanes: &Lanes, at: u16) -> [Self; WARP] {
        let bits = lanes.predicate(at);
        let mut out = [false; WARP];
        for (lane, value) in out.iter_mut().enumerate() {
            *value = bits >> lane & 1 == 1;
        }
        out
    }

    #[inline(always)]
    fn store(lanes: &mut Lanes, at: u16, values: [Self; WARP]) {
        let mut bits = 0;
        for (lane, value) in values.into_iter().enumerate() {
            bits |= u32::from(value) << lane;
        }
        lanes.set_predicate(at, bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes() -> Lanes {
        Lanes::new(&[0; 2], &[[7; WARP]; 2], &[[9; WARP]; 2])
    }

    #[test]
    fn only_executing_lanes_are_written() {
        let mut lanes = lanes();
        lanes.set_mask(0x8000_0001);
        i32::store(&mut lanes, 0, [-1; WARP]);
        f64::store(&mut lanes, 1, [1.0; WARP]);
        bool::store(&mut lanes, 1, [true; WARP]);
        for lane in 0..WARP {
            let written = lane == 0 || lane == 31;
            assert_eq!(i32::load(&lanes, 0)[lane], if written { -1 } else { 7 });
            assert_eq!(u64::load(&lanes, 1)[lane], if written { 1.0f64.to_bits() } else { 9 });
            assert_eq!(bool::load(&lanes, 1)[lane], written);
            assert_eq!(bool::load(&lanes, 1 | INVERTED)[lane], !written);
        }
    }

    #[test]
    fn sixteen_bit_values_stay_zero_extended() {
        let mut lanes = lanes();
        lanes.set_mask(u32::MAX);
        i16::store(&mut lanes, 0, [-2; WARP]);
        assert_eq!(*lanes.words(0), [0xFFFE; WARP]);
        assert_eq!(i16::load(&lanes, 0), [-2; WARP]);
    }

    #[test]
    fn lanes_of_a_mask_ascend() {
        assert_eq!(lanes_of(0x8000_0012).collect::<Vec<_>>(), [1, 4, 31]);
        assert_eq!(lanes_of(0).count(), 0);
    }
}
