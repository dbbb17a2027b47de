// A warning, which this program asks to be an error so that its words are seen here.
#![deny(deprecated)]

sparsym::strategy! {
    pub Bad {
        param reach: u32 = 1024;
        let far = 2 * 512;
        mask q, kv => kv.pos <= q.pos;
    }
}

fn main() {
    let _ = Bad::default();
}
