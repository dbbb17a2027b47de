sparsym::strategy! {
    pub Bad {
        param warmup: u32 = 8;
        cache q by hold;
        update when step < warmup;
        dense when step < warmup;
    }
}

fn main() {
    let _ = Bad::default();
}
