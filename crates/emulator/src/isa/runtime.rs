//! What calls of CUDA's device runtime and tables of branches become; no text has these instructions.

use super::form::operands::{L, TO_W, W};
use super::form::{Family, Form, effect};
use crate::decode::Instruction;
use crate::machine::context::Effect;
use crate::machine::print::{Amount, Piece, pieces};
use crate::memory::Space;
use crate::trap::Fault;

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    Form {
        spelling: "vprintf",
        operands: &[TO_W, L, L],
        family: Family::Control,
        meaning: "what a call of vprintf becomes: prints the arguments at b as the text at a says; d = how many",
        action: effect!(Effect, |effect, ins| {
            for lane in effect.executing() {
                let count = print(effect, ins, lane)?;
                effect.lanes.set_word(ins.rows[0], lane, count);
            }
            Ok(())
        }),
    },
    Form {
        spelling: "__assertfail",
        operands: &[L, L, W, L, L],
        family: Family::Control,
        meaning: "what a call of __assertfail becomes: stops the launch with condition a of function d, file b, line c",
        action: effect!(Effect, |effect, ins| {
            let lane = effect.lanes.mask().trailing_zeros() as usize;
            let condition = text(effect, lane, effect.lanes.wides(ins.rows[0])[lane])?;
            let file = text(effect, lane, effect.lanes.wides(ins.rows[1])[lane])?;
            let line = effect.words(ins, 2)[lane];
            let function = text(effect, lane, effect.lanes.wides(ins.rows[3])[lane])?;
            Err(Box::new(Fault::Assertion { lane, condition, file, line, function }))
        }),
    },
    Form {
        spelling: "brx.idx",
        operands: &[W],
        family: Family::Control,
        meaning: "what is left of brx.idx behind a branch for each place of its table: a is outside",
        action: effect!(Effect, |effect, ins| {
            let lane = effect.lanes.mask().trailing_zeros() as usize;
            Err(Box::new(Fault::OutsideTable { lane, index: effect.words(ins, 0)[lane] }))
        }),
    },
    Form {
        spelling: "__nofunction",
        operands: &[L],
        family: Family::Control,
        meaning: "what is left of a call through a pointer behind those of each function: a is none of them",
        action: effect!(Effect, |effect, ins| {
            let lane = effect.lanes.mask().trailing_zeros() as usize;
            Err(Box::new(Fault::NotAFunction { lane, address: effect.lanes.wides(ins.rows[0])[lane] }))
        }),
    },
];

/// Most characters that are read of a text.
const MOST: u64 = 1 << 12;

/// A text that ends with a zero.
#[cold]
fn text(effect: &mut Effect<'_>, lane: usize, address: u64) -> Result<String, Box<Fault>> {
    let mut bytes = Vec::new();
    for at in 0..MOST {
        let (space, address) = Space::of_generic(address.wrapping_add(at));
        match effect.load(space, lane, address, 1)?[0] as u8 {
            0 => break,
            byte => bytes.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One lane prints. Gives the number of its values.
#[cold]
fn print(effect: &mut Effect<'_>, ins: &Instruction, lane: usize) -> Result<u32, Box<Fault>> {
    let format = text(effect, lane, effect.lanes.wides(ins.rows[1])[lane])?;
    let mut from = effect.lanes.wides(ins.rows[2])[lane];
    let mut next = |effect: &mut Effect<'_>, bytes: usize| {
        let address = from.checked_next_multiple_of(bytes as u64).unwrap_or(0);
        from = address.wrapping_add(bytes as u64);
        let (space, address) = Space::of_generic(address);
        let packet = effect.load(space, lane, address, bytes)?;
        Ok::<u64, Box<Fault>>(u64::from(packet[0]) | u64::from(packet[1]) << 32)
    };
    let mut out = String::new();
    let mut count = 0;
    for piece in pieces(&format).map_err(|what| Box::new(Fault::Unsupported { what }))? {
        let mut conversion = match piece {
            Piece::Text(text) => {
                out.push_str(&text);
                continue;
            }
            Piece::Value(conversion) => conversion,
        };
        let mut amount = |effect: &mut Effect<'_>, amount: Amount| match amount {
            Amount::Argument => next(effect, 4).map(|bits| Some(bits as i32)),
            _ => Ok(None),
        };
        let (width, precision) = (amount(effect, conversion.width)?, amount(effect, conversion.precision)?);
        conversion.set(width, precision);
        let bits = next(effect, conversion.bytes)?;
        count += 1;
        out.push_str(&match conversion.kind {
            's' => conversion.text(&text(effect, lane, bits)?),
            _ => conversion.number(bits),
        });
    }
    effect.launch.print(effect.cta, out);
    Ok(count)
}
