#![deny(missing_docs)]
//! A strategy as a Rust type.

use sparsym::{StrategyType, strategy};

strategy! {
    /// Windows in a document.
    pub Windows {
        /// Positions seen on each side.
        param reach: u32 in 1..=4096 = 1024;
        param cap: f32 in 0.1..=0.3 = 0.1;
        param shift: i32 = -2;
        param causal: bool = true;
        input document: [token] of i32;
        mask q, kv => abs(q.pos - kv.pos + shift) <= reach && document[q] == document[kv]
            && (!causal || kv.pos <= q.pos);
        score s, q, kv => cap * tanh(s / cap);
    }
}

fn main() {
    let windows = Windows::default();
    assert_eq!(windows, Windows { reach: 1024, cap: 0.1, shift: -2, causal: true });
    windows.check().unwrap();
    assert_eq!(windows.bindings().unwrap().params, Windows::ir().params.iter().map(|p| p.default).collect::<Vec<_>>());
    let wrong = Windows { reach: 0, cap: f32::NAN, ..windows };
    assert_eq!(wrong.check().unwrap_err().iter().count(), 2);
    assert_eq!(Windows::ir().doc, "Windows in a document.");
}
