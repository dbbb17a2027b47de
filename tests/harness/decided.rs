//! Which symbols a device may give.

use sparsym::ir::analysis::static_symbols;
use sparsym::ir::symbols::SkipSymbol;
use sparsym::ir::{Bound, Strategy, Symbols, SymbolsCall};
use sparsym_reference::margin::Margins;

use crate::devices;

/// A decision that two numbers made which differ by less than this, relative to the larger, may come out either way: f32
/// sums of a few hundred terms in different orders, and exponentials of two libraries, differ by a tenth of it.
pub const NEAR_TIE: f32 = 1e-5;

/// What the rules decide, and how surely.
pub struct Decided {
    /// By the oracle.
    pub symbols: Symbols,
    margins: Margins,
    /// What classification gives, where rules do not read Q and K; else of the mask alone.
    classified: Symbols,
    reads_data: bool,
}

impl Decided {
    /// Asks the oracle.
    pub fn new(call: &SymbolsCall<'_>) -> Decided {
        let (symbols, margins) = devices::oracle_symbols(call);
        let reads_data = call.bound.strategy.reads_data();
        let mask_only = Strategy { rules: Vec::new(), ..call.bound.strategy.clone() };
        let bound = Bound {
            strategy: if reads_data { &mask_only } else { call.bound.strategy },
            geometry: call.bound.geometry.clone(),
            ..*call.bound
        };
        Decided { symbols, margins, classified: static_symbols(&bound, &call.moment), reads_data }
    }

    /// Compares what a device that classifies gave with the classification of the host. All of them give the same bits: which
    /// block pairs are called partial, too, but for near ties of block rules.
    ///
    /// # Errors
    /// Which symbol differs, and at which bit.
    pub fn check_classified(&self, given: &Symbols) -> Result<(), String> {
        let surely = vec![f32::INFINITY; self.classified.full.as_ref().map_or(0, |full| full.unpack().len())];
        let exact = |_: u8, _: u8| false;
        if let (Some(host), Some(given)) = (&self.classified.full, &given.full) {
            differences("s_f of the host's classification", &host.unpack(), &given.unpack(), &surely, exact)?;
        }
        if !self.reads_data {
            let (host, given) = (self.classified.skip.unpack(), given.skip.unpack());
            differences("s_s of the host's classification", &host, &given, &self.margins.skip, exact)?;
        }
        Ok(())
    }

    /// Compares what a device gave, bit by bit. Gives the number of bits that differ because the decision is a near tie.
    ///
    /// Of a mask, a device may take a block pair for partial that is empty or full, which only costs time: its S_s may be 1
    /// where the oracle has 0 and its S_f 0 where the oracle has 1, never the reverse.
    ///
    /// # Errors
    /// Which symbol is wrong, and at which bit.
    pub fn check(&self, given: &Symbols) -> Result<usize, String> {
        let oracle = &self.symbols;
        let masked = oracle.full.is_some();
        let exact = |_: u8, _: u8| false;
        let wider = |oracle: u8, given: u8| masked && oracle == 0 && given == 1;
        let ties = differences("s_c", &oracle.cache.unpack(), &given.cache.unpack(), &self.margins.cache, exact)?
            + differences("s_s", &oracle.skip.unpack(), &given.skip.unpack(), &self.margins.skip, wider)?;
        let implies = |a: &SkipSymbol, b: &SkipSymbol| a.unpack().iter().zip(b.unpack()).all(|(&a, b)| a <= b);
        match (&oracle.full, &given.full) {
            (Some(oracle), Some(given)) if !implies(given, oracle) => {
                Err("s_f is 1 for a block pair that is not full".to_owned())
            }
            (Some(_), None) | (None, Some(_)) => Err("s_f is present exactly when there is a mask".to_owned()),
            _ => Ok(ties),
        }
    }
}

fn differences(
    name: &str,
    oracle: &[u8],
    given: &[u8],
    margins: &[f32],
    allowed: impl Fn(u8, u8) -> bool,
) -> Result<usize, String> {
    if oracle.len() != given.len() {
        return Err(format!("{name} has {} bits, not {}", given.len(), oracle.len()));
    }
    let mut ties = 0;
    for (n, (&oracle, &given)) in oracle.iter().zip(given).enumerate() {
        match () {
            () if oracle == given || allowed(oracle, given) => {}
            () if margins[n] < NEAR_TIE => ties += 1,
            () => {
                return Err(format!(
                    "{name} is {given} at bit {n}, the rules say {oracle} by a margin of {:.1e}",
                    margins[n]
                ));
            }
        }
    }
    Ok(ties)
}
