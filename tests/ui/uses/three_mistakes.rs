sparsym::strategy! {
    pub Bad {
        param reach: u33 = 1024;
        mask q, kv => kv.block <= q.pos;
        skip q, kv where q.block < 0 || kv.block > reach;
        skip q, kv where kv.block < 0;
    }
}

fn main() {
    let _ = Bad::default();
}
