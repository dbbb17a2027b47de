sparsym::strategy! {
    pub Bad {
        /// Every token sees those before it.
        mask q, kv => kv.pos <= q.pos;
    }
}

fn main() {
    let _ = Bad::default();
}
