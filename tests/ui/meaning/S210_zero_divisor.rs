sparsym::strategy! {
    pub Bad {
        param period: u32 = 4;
        mask q, kv => q.pos % period == kv.pos % 2;
    }
}

fn main() {
    let _ = Bad::default();
}
