sparsym::strategy! {
    pub Bad {
        param reach: u32 in 1.. = 2;
        tokens text, vision(t, h, w);
        let row(q) = q.h / reach;
        mask q, kv => row == kv.h;
    }
}

fn main() {
    let _ = Bad::default();
}
