sparsym::strategy! {
    pub Bad {
        cache q by hold;
        update when step == 0;
    }
}

fn main() {
    let _ = Bad::default();
}
