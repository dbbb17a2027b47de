sparsym::strategy! {
    pub Bad {
        mask q, kv => q.pos - kv.pos <= 4294967296;
    }
}

fn main() {
    let _ = Bad::default();
}
