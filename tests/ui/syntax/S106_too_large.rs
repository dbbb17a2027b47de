sparsym::strategy! {
    pub Bad {
        let a = step + step + step + step + step + step + step + step;
        let b = a + a + a + a + a + a + a + a;
        let c = b + b + b + b + b + b + b + b;
        let d = c + c + c + c + c + c + c + c;
        let e = d + d + d + d + d + d + d + d;
        skip q, kv where q.block > e;
    }
}

fn main() {
    let _ = Bad::default();
}
