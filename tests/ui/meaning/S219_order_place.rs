sparsym::strategy! {
    pub Bad {
        let s = pool(Q) . pool(K) / sqrt(D);
        skip q, kv where descending_rank(s[q, kv]) == 0;
    }
}

fn main() {
    let _ = Bad::default();
}
