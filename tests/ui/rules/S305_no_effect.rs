sparsym::strategy! {
    pub Bad {
        keep q, kv where q.block == kv.block;
    }
}

fn main() {
    let _ = Bad::default();
}
