sparsym::strategy! {
    pub Bad {
        let s = pool(Q) . pool(V);
        skip q, kv where descending_rank(s[q, kv]) >= 8;
    }
}

fn main() {
    let _ = Bad::default();
}
