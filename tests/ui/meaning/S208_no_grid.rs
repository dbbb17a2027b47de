sparsym::strategy! {
    pub Bad {
        tokens text, vision;
        mask q, kv => q.t == kv.t || q in text;
    }
}

fn main() {
    let _ = Bad::default();
}
