sparsym::strategy! {
    pub Bad {
        let s = pool(Q) . pool(K) / sqrt(D);
        skip q, kv where ascending_mass(softmax(kv: s[q, kv])) <= 0.1;
        update when since_update == 5;
        degrade when density(cache) <= 0.3;
    }
}

fn main() {
    let _ = Bad::default();
}
