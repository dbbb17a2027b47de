sparsym::strategy! {
    pub Bad {
        param k: u32 in 1.. = 8;
        let label = kmeans(Q, k);
        skip q, kv where probe(Q, K) < label;
    }
}

fn main() {
    let _ = Bad::default();
}
