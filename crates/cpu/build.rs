//! Tells the crate whether it is optimised. `cfg!(debug_assertions)` does not: it stays on where a dev profile optimises
//! this package, as the front page asks for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=SPARSYM_OPT_LEVEL={}", std::env::var("OPT_LEVEL").unwrap_or_default());
}
