sparsym::strategy! {
    pub Bad {
        tokens text, vision;
        let n[q] = sum(v in vision: pool(Q) . pool(K));
        compute q where n[q] > 0.0;
        otherwise cache;
        update when since_update == 5;
    }
}

fn main() {
    let _ = Bad::default();
}
