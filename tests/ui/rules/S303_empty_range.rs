sparsym::strategy! {
    pub Bad {
        param order: u32 in 3..=0 = 2;
        cache q by taylor(min(order, 3));
        update when step % 4 == 0;
    }
}

fn main() {
    let _ = Bad::default();
}
