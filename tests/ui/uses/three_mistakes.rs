sparsym::strategy! {
    pub Bad {
        param reach: u33 = 1024;
        mask q, kv => abs(q.pos - kv.pos) <= reach || kv.block < 1;
        skip q, kv where q.block < 0;
    }
}

fn main() {
    let _ = Bad::default();
}
