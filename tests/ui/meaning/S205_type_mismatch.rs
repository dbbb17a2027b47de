sparsym::strategy! {
    pub Bad {
        mask q, kv => kv.pos - q.pos;
    }
}

fn main() {
    let _ = Bad::default();
}
