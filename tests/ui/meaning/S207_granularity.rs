sparsym::strategy! {
    pub Bad {
        mask q, kv => kv.block <= q.pos;
    }
}

fn main() {
    let _ = Bad::default();
}
