//! What stands in each place of an instruction, to the bit: the table knows rows of 32 and of 64 bits, a text has registers
//! of 16 bits as well, integers where floats belong, and names of variables that lie in another space than is read.

use crate::isa::form::{Class, Form, Operand};
use crate::memory::Space;
use crate::syntax::{Instruction, RegisterClass};

/// What the types of an instruction say about one of its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    width: Width,
    constants: Constants,
}

/// How wide a register must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Exactly(u32),
    /// Loads, stores and conversions take wider registers than their types.
    AtLeast(u32),
}

/// What may stand there instead of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Constants {
    /// Integers, special registers, addresses.
    Integers,
    /// Floats of 32 or 64 bits.
    Floats,
    /// Either: the type is only a number of bits.
    Any,
    /// Bits of halves and of packed values, written as an integer.
    Bits,
    /// True and false.
    Truths,
}

/// The types and spaces that an instruction names, in its order.
pub(super) struct Kinds<'a> {
    opcode: &'a str,
    modifiers: &'a [String],
    types: Vec<Kind>,
    spaces: Vec<Space>,
}

/// A type of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    bits: u32,
    constants: Constants,
}

impl Kind {
    fn named(word: &str) -> Option<Kind> {
        let (bits, constants) = match word {
            "pred" => (1, Constants::Truths),
            "b8" => (8, Constants::Any),
            "u8" | "s8" => (8, Constants::Integers),
            "b16" => (16, Constants::Bits),
            "u16" | "s16" => (16, Constants::Integers),
            "f16" | "bf16" | "e4m3x2" | "e5m2x2" => (16, Constants::Bits),
            "b32" => (32, Constants::Any),
            "u32" | "s32" => (32, Constants::Integers),
            "f16x2" | "bf16x2" | "u16x2" | "s16x2" | "tf32" => (32, Constants::Bits),
            "f32" => (32, Constants::Floats),
            "b64" => (64, Constants::Any),
            "u64" | "s64" => (64, Constants::Integers),
            "f32x2" => (64, Constants::Bits),
            "f64" => (64, Constants::Floats),
            _ => return None,
        };
        Some(Kind { bits, constants })
    }
}

/// A count, a mask, a lane, a place of a bit.
const COUNT: Kind = Kind { bits: 32, constants: Constants::Integers };
/// The mask of CTAs to which a copy goes: it stands behind the mbarrier.
const CTAS: Kind = Kind { bits: 16, constants: Constants::Integers };
const ADDRESS: Kind = Kind { bits: 64, constants: Constants::Integers };
/// A register of a matrix fragment.
const FRAGMENT: Kind = Kind { bits: 32, constants: Constants::Any };

impl<'a> Kinds<'a> {
    pub(super) fn of(instruction: &'a Instruction) -> Kinds<'a> {
        let space = |word: &String| {
            Some(match word.as_str() {
                "global" => Space::Global,
                "shared" | "shared::cta" | "shared::cluster" => Space::Shared,
                "local" => Space::Local,
                "param" | "param::entry" => Space::Param,
                "const" => Space::Const,
                _ => return None,
            })
        };
        Kinds {
            opcode: &instruction.opcode,
            modifiers: &instruction.modifiers,
            types: instruction.modifiers.iter().filter_map(|word| Kind::named(word)).collect(),
            spaces: instruction.modifiers.iter().filter_map(space).collect(),
        }
    }

    fn has(&self, word: &str) -> bool {
        self.modifiers.iter().any(|modifier| modifier == word)
    }

    /// The place number `at` of the operands, of which the form says the row; `elements` stand in its braces, or 1.
    pub(super) fn place(&self, form: &Form, at: usize, class: Option<Class>, elements: usize) -> Place {
        if class == Some(Class::Predicate) {
            return Place { width: Width::Exactly(1), constants: Constants::Truths };
        }
        let kind = match self.types.last() {
            // Parts of a value.
            Some(last) if self.opcode == "mov" && elements > 1 => Kind { bits: last.bits / elements as u32, ..*last },
            _ => self.kind(form, at, class),
        };
        let bits = kind.bits;
        let packed = kind.constants == Constants::Bits && kind.bits > 16 || self.has("e4m3x2") || self.has("e5m2x2");
        let wider = matches!(self.opcode, "ld" | "st") || (self.opcode == "cvt" && !packed);
        let width = if wider || bits < 16 { Width::AtLeast(bits) } else { Width::Exactly(bits) };
        Place { width, constants: kind.constants }
    }

    fn kind(&self, form: &Form, at: usize, class: Option<Class>) -> Kind {
        let first = self.types.first().copied().unwrap_or(COUNT);
        let last = self.types.last().copied().unwrap_or(COUNT);
        let kind = match (form.opcode(), at) {
            ("mma", _) if class == Some(Class::Wide) => Kind { bits: 64, ..FRAGMENT },
            ("mma" | "ldmatrix" | "stmatrix" | "movmatrix", _) => FRAGMENT,
            ("wgmma", _) if class == Some(Class::Wide) => ADDRESS,
            ("wgmma", _) => FRAGMENT,
            ("cvta" | "isspacep", _) | ("vprintf", 1..) | ("__nofunction", _) | ("__assertfail", 0 | 1 | 3 | 4) => {
                ADDRESS
            }
            ("cvt", _) if self.has("pack") => COUNT,
            ("cvt" | "set", 0) => first,
            // Mixed precision: the result and what is added are of the first type.
            ("add" | "sub", 0 | 2) | ("fma", 0 | 3) => first,
            ("slct", 3) | ("cvt" | "set", _) => last,
            ("slct", _) => first,
            ("mul" | "mad", 0 | 3) if self.has("wide") => Kind { bits: 2 * last.bits, ..last },
            ("shl" | "shr" | "bfe", 2..) | ("bfi", 3..) | ("popc" | "clz" | "bfind", 0) => COUNT,
            ("cp", 1..) if self.has("multicast::cluster") && form.operands[at - 1] == Operand::Mbarrier => CTAS,
            ("bar" | "barrier" | "vote" | "cp" | "elect", _) | ("match", 0 | 2) => COUNT,
            _ => last,
        };
        match class {
            // A number of bits beside a value of 64.
            Some(Class::Word) if kind.bits == 64 => COUNT,
            // A cache policy beside counts and coordinates.
            Some(Class::Wide) if self.opcode == "cp" => ADDRESS,
            _ => kind,
        }
    }

    /// The space that an address lies in, the addresses of an instruction counted from 0; None: a generic one.
    pub(super) fn space(&self, address: usize) -> Option<Space> {
        self.spaces.get(address).or(self.spaces.last()).copied()
    }

    /// The space that the address of an mbarrier lies in; None: it is a generic one.
    pub(super) fn space_of_mbarrier(&self) -> Option<Space> {
        self.spaces.contains(&Space::Shared).then_some(Space::Shared)
    }

    /// Whether the instruction makes a generic address out of one of a space.
    pub(super) fn leaves_space(&self) -> bool {
        self.opcode == "cvta"
    }
}

impl Place {
    /// Why a register cannot stand there.
    pub(super) fn refuses_register(self, class: RegisterClass) -> Option<String> {
        let has = match class {
            RegisterClass::Pred => 1,
            RegisterClass::B16 => 16,
            RegisterClass::B32 => 32,
            RegisterClass::B64 => 64,
        };
        match self.width {
            Width::Exactly(bits) if bits != has => Some(format!("{} stands where {} is needed", name(has), name(bits))),
            Width::AtLeast(bits) if bits > has || has == 1 => {
                Some(format!("{} stands where {} or more is needed", name(has), name(bits)))
            }
            _ => None,
        }
    }

    pub(super) fn constants(self) -> Constants {
        self.constants
    }

    /// Whether 32 bits fit.
    pub(super) fn holds_words(self) -> bool {
        let (Width::Exactly(bits) | Width::AtLeast(bits)) = self.width;
        bits >= 32
    }
}

fn name(bits: u32) -> String {
    match bits {
        1 => "a predicate".to_owned(),
        bits => format!("a register of {bits} bits"),
    }
}
