//! What `strategy!` generates.

extern crate sparsym_dsl as sparsym;

use sparsym::ir::strategy::Value;
use sparsym::{StrategyType, strategy};

strategy! {
    /// Window and soft cap.
    pub Capped {
        /// Positions seen on each side.
        param reach: u32 in 1..=4096 = 1024;
        param cap: f32 in 0.1..=50.0 = 0.1;
        param shift: i32 in -4.. = -2;
        param causal: bool = true;
        mask q, kv => abs(q.pos - kv.pos + shift) <= reach && (!causal || kv.pos <= q.pos);
        score s, q, kv => cap * tanh(s / cap);
    }
}

strategy! {
    pub(crate) Everything {}
}

#[test]
fn fields_are_params_with_their_defaults() {
    let capped = Capped::default();
    assert_eq!(capped, Capped { reach: 1024, cap: 0.1, shift: -2, causal: true });
    // The f32 0.1 is the 0.1 of the declaration, so it lies in a range that starts there.
    assert_eq!(capped.values(), [Value::Int(1024), Value::Float(0.1), Value::Int(-2), Value::Bool(true)]);
    assert_eq!(capped.bindings().unwrap().params, capped.values());
    assert_eq!(Everything {}.values(), []);
}

#[test]
fn values_out_of_range_are_named() {
    let wrong = Capped { reach: 0, cap: f32::INFINITY, ..Capped::default() };
    let messages: Vec<String> = wrong.check().unwrap_err().into_iter().map(|finding| finding.message).collect();
    assert_eq!(messages, ["reach = 0 is outside 1..=4096", "cap = inf is outside 0.1..=50.0"]);
    assert!(wrong.bindings().is_err());
}

#[test]
fn serde_fills_in_defaults_and_checks_ranges() {
    let read = |json: &str| serde_json::from_str::<Capped>(json).map_err(|error| error.to_string());
    assert_eq!(read(r#"{"reach": 7}"#), Ok(Capped { reach: 7, ..Capped::default() }));
    let capped = Capped { cap: 12.5, ..Capped::default() };
    assert_eq!(read(&serde_json::to_string(&capped).unwrap()), Ok(capped));
    assert!(read(r#"{"reach": 0}"#).unwrap_err().contains("reach = 0 is outside 1..=4096"));
    assert!(read(r#"{"rech": 7}"#).unwrap_err().contains("unknown field `rech`"));
}

#[test]
fn the_embedded_ir_is_the_strategy() {
    let ir = Capped::ir();
    assert_eq!(ir.name, "Capped");
    assert_eq!(ir.doc, "Window and soft cap.");
    assert_eq!(ir.params[0].doc, "Positions seen on each side.");
    assert!(std::ptr::eq(ir, Capped::ir()), "it is parsed once");
}
