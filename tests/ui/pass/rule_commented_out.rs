//! Somebody comments a rule out: what it read is left over, and the program still builds and runs.

use sparsym::{StrategyType, strategy};

strategy! {
    pub Window {
        param reach: u32 = 1024;
        table window: [head] of (u32, u32, u32);
        input document: [token] of i32;
        tokens text, vision;
        let far = 4 * reach;
        let s = pool(Q) . pool(K);
        mask q, kv => kv.pos <= q.pos;
        // skip q, kv where s[q, kv] < 0;
    }
}

fn main() {
    assert_eq!(Window::default().reach, 1024);
    assert_eq!(Window::ir().inputs.len(), 1);
}
