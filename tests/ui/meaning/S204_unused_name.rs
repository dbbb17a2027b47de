sparsym::strategy! {
    pub Bad {
        param reach: u32 = 1024;
        mask q, kv => kv.pos <= q.pos;
    }
}

fn main() {
    let _ = Bad::default();
}
