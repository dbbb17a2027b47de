//! What rustc shows for each mistake in a `strategy!` call: one small file and one reviewed `.stderr` for each code.
//!
//! `TRYBUILD=overwrite cargo test -p sparsym-tests --test ui` rewrites them; read the difference before committing it.

#[test]
fn every_mistake_is_one_error_at_its_token() {
    let cases = trybuild::TestCases::new();
    // trybuild shows warnings of what is refused only; `S204` denies its own.
    cases.compile_fail("ui/syntax/*.rs");
    cases.compile_fail("ui/meaning/*.rs");
    cases.compile_fail("ui/rules/*.rs");
    cases.compile_fail("ui/schedule/*.rs");
    cases.compile_fail("ui/uses/*.rs");
    cases.pass("ui/pass/*.rs");
}
