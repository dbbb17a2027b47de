sparsym::strategy! {
    pub Bad {
        param order: u32 = 2;
        cache q by taylor(order);
        update when step % 4 == 0;
    }
}

fn main() {
    let _ = Bad::default();
}
