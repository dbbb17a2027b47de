sparsym::strategy! {
    pub Bad {
        tokens depth(t, h, w), color(t, h, w);
        mask q, kv => q.t == kv.t;
    }
}

fn main() {
    let _ = Bad::default();
}
