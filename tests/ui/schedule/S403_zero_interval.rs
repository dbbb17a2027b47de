sparsym::strategy! {
    pub Bad {
        param interval: u32 = 5;
        cache q by hold;
        update when since_update == interval;
    }
}

fn main() {
    let _ = Bad::default();
}
