sparsym::strategy! {
    pub Bad {
        cache q by tailor(2);
        update when step % 4 == 0;
    }
}

fn main() {
    let _ = Bad::default();
}
