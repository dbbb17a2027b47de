//! A strategy as a number that can be compared.

use std::fmt::{self, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};
use sparsym_ir::strategy::Strategy;

/// A digest of a strategy, so that plans for different rules differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Rules(String);

impl Rules {
    // `Debug` of the IR says everything, floats to the last bit.
    pub(crate) fn of(strategy: &Strategy) -> Rules {
        struct Hashed(Sha256);
        impl Write for Hashed {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.update(text);
                Ok(())
            }
        }
        let mut hashed = Hashed(Sha256::new());
        write!(hashed, "{strategy:?}").expect("a hash takes everything");
        let mut digest = String::new();
        for byte in &hashed.0.finalize()[..16] {
            let _ = write!(digest, "{byte:02x}");
        }
        Rules(digest)
    }
}
