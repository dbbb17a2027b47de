sparsym::strategy! {
    pub Bad {
        let s = pool(Q) . pool(K) / sqrt(D);
        skip q, kv where s[q, kv] < percentile(s[q, kv] per head, 90);
    }
}

fn main() {
    let _ = Bad::default();
}
