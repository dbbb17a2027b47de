sparsym::strategy! {
    pub Bad {
        skip q, kv where q.block > kv.block + since_update;
    }
}

fn main() {
    let _ = Bad::default();
}
