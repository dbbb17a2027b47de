sparsym::strategy! {
    pub Bad {
        mask q, kv => kv.pos <= q.pos;
        mask q, kv => q.pos - kv.pos <= 1024;
    }
}

fn main() {
    let _ = Bad::default();
}
