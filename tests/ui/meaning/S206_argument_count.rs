sparsym::strategy! {
    pub Bad {
        mask q, kv => abs(q.pos, kv.pos) <= 1024;
    }
}

fn main() {
    let _ = Bad::default();
}
