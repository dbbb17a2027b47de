sparsym::strategy! {
    pub Bad {
        param reach: u32 = 1024;
        param reach: u32 = 2048;
        mask q, kv => abs(q.pos - kv.pos) <= reach;
    }
}

fn main() {
    let _ = Bad::default();
}
