sparsym::strategy! {
    pub Bad {
        let s = pool(Q) . pool(K) / sqrt(D);
        skip q, kv where s[q, kv] < sum(v: s[q, v] - s[q, kv]);
    }
}

fn main() {
    let _ = Bad::default();
}
