use sparsym::StrategyType;

sparsym::strategy! {
    pub Bad {
        param reach: u32 in 1.. = 0;
        mask q, kv => abs(q.pos - kv.pos) <= reach;
    }
}

fn main() {
    let bad = Bad { reach: 5 };
    let _ = (Bad::ir(), bad.values(), bad.check(), bad.bindings());
}
