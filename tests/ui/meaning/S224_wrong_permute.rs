sparsym::strategy! {
    pub Bad {
        tokens text, vision(t, h, w);
        permute vision by tile;
        skip q, kv where q in text && kv in vision;
    }
}

fn main() {
    let _ = Bad::default();
}
