sparsym::strategy! {
    pub Bad {
        param k: u32 = 8;
        let s = pool(Q) . pool(K) / sqrt(D);
        skip q, kv where descending_rank(s[q, kv]) >= k;
    }
}

fn main() {
    let _ = Bad::default();
}
