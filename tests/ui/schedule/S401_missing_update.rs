sparsym::strategy! {
    pub Bad {
        cache q by hold;
    }
}

fn main() {
    let _ = Bad::default();
}
