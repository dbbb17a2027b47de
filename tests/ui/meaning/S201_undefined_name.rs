sparsym::strategy! {
    pub Bad {
        param reach: u32 = 1024;
        mask q, kv => abs(q.pos - kv.pos) <= rech || q.pos < reach;
    }
}

fn main() {
    let _ = Bad::default();
}
