//! Any bytes: the parser gives a tree that prints, or a mistake with a place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ptx_emulator::syntax::parse;

fuzz_target!(|text: &str| match parse(text) {
    Ok(module) => {
        for function in &module.functions {
            for index in 0..function.body.len() {
                assert!(function.print(index).to_string().ends_with(';'));
            }
        }
    }
    Err(error) => assert!(error.line >= 1 && error.column >= 1, "{error}"),
});
