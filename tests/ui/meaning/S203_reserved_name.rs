sparsym::strategy! {
    pub Bad {
        param step: u32 = 4;
        skip q, kv where q.block > step;
    }
}

fn main() {
    let _ = Bad::default();
}
