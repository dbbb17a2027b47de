sparsym::strategy! {
    pub Bad {
        param reach: u32 1024;
        mask q, kv => q.pos - kv.pos <= reach;
    }
}

fn main() {
    let _ = Bad::default();
}
