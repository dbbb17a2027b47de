sparsym::strategy! {
    pub Bad {
        let s = pool(Q) . pool(K) / sqrt(D);
        mask q, kv => s[q, kv] > 0.5;
    }
}

fn main() {
    let _ = Bad::default();
}
