sparsym::strategy! {
    pub Bad {
        cache q by hold;
        update when (step + head) % 4 == 0;
    }
}

fn main() {
    let _ = Bad::default();
}
