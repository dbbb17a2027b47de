sparsym::strategy! {
    pub Bad {
        table method: [step, layer, head] of { full, arrow, reuse };
        cache q where method == reused;
        update when since_update == 5;
    }
}

fn main() {
    let _ = Bad::default();
}
