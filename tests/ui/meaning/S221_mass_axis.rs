sparsym::strategy! {
    pub Bad {
        let s = pool(Q) . pool(K) / sqrt(D);
        skip q, kv where ascending_mass(softmax(q: s[q, kv])) <= 0.1;
    }
}

fn main() {
    let _ = Bad::default();
}
