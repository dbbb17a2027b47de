sparsym::strategy! {
    pub Bad {
        skip q, kv where q.block >= 0;
    }
}

fn main() {
    let _ = Bad::default();
}
