sparsym::strategy! {
    pub Bad {
        let s = pool(Q) . pool(K) / sqrt(D);
        let weight[q] = sum(kv: s[q, kv]);
        skip q, kv where ascending_rank(weight[q]) < 3;
    }
}

fn main() {
    let _ = Bad::default();
}
