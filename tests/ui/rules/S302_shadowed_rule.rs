sparsym::strategy! {
    pub Bad {
        tokens text, vision;
        skip q in vision, kv where q.block > kv.block;
        skip q in vision, kv;
    }
}

fn main() {
    let _ = Bad::default();
}
