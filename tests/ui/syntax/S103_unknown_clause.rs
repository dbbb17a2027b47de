sparsym::strategy! {
    pub Bad {
        maks q, kv => kv.pos <= q.pos;
    }
}

fn main() {
    let _ = Bad::default();
}
