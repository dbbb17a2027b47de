sparsym::strategy! {
    pub Bad {
        cache q where q.block % 2 == 0;
        update when since_update == 5;
        degrade when step > 20;
    }
}

fn main() {
    let _ = Bad::default();
}
