sparsym::strategy! {
    pub Bad {
        tokens text, vision;
        keep q in text, kv;
        skip q in vision, kv;
        otherwise skip;
    }
}

fn main() {
    let _ = Bad::default();
}
