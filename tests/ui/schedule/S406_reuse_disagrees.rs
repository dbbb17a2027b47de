sparsym::strategy! {
    pub Bad {
        tokens text, vision;
        cache q in text by hold;
        cache q in vision by taylor(1);
        update when step % 4 == 0;
    }
}

fn main() {
    let _ = Bad::default();
}
