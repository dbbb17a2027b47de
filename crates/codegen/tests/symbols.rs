//! What symbols kernels contain and what they leave out.

use sparsym_codegen::{Kernel, Request, Room, RoomRequest, Sequences, Target, generate};
use sparsym_ir::strategy::Strategy;

fn strategy(body: &str) -> Strategy {
    sparsym_dsl_core::compile_str("test", &format!("pub Test {{ {body} }}")).unwrap_or_else(|e| panic!("{body}: {e}"))
}

fn kernel(body: &str) -> Kernel {
    let strategy = strategy(body);
    generate(&Request::new(&strategy, Room::Symbols, Target::parse("sm_80").unwrap())).unwrap()
}

const WINDOW: &str = "param reach: u32 = 40; mask q, kv => abs(q.pos - kv.pos) <= reach;";
const CACHE: &str = "update when since_update == 3; cache q where q.block % 2 == 0 by hold;";
const SKIP: &str = "skip q, kv where q.block + 4 < kv.block;";
const GRID: &str = "tokens vision(t, h, w), text; mask q, kv => q in text || kv in text || abs(q.h - kv.h) <= 3;";

#[test]
fn a_symbol_that_nothing_clears_is_not_written() {
    let written = |body: &str| -> Vec<&str> {
        let fields = kernel(body).params.fields;
        let names = [("s_c_out", "s_c"), ("s_s_out", "s_s"), ("s_f_out", "s_f")];
        names.iter().filter(|(field, _)| fields.iter().any(|f| f.name == *field)).map(|(_, name)| *name).collect()
    };
    assert_eq!(written(CACHE), ["s_c"]);
    assert_eq!(written(SKIP), ["s_s"]);
    assert_eq!(written(WINDOW), ["s_s", "s_f"]);
    assert_eq!(written(&format!("{CACHE} {SKIP}")), ["s_c", "s_s"]);

    let dense = Strategy::dense();
    let refused = generate(&Request::new(&dense, Room::Symbols, Target::parse("sm_80").unwrap())).unwrap_err();
    assert!(refused.to_string().contains("no symbols to make"), "{refused}");
}

#[test]
fn interval_arithmetic_only_where_the_mask_is_not_affine() {
    let affine = kernel(WINDOW).source;
    assert!(!affine.contains("Interval") && !affine.contains("mask_fits") && affine.contains("bool holds"));
    let grid = kernel(GRID).source;
    assert!(grid.contains("is_at_most(absolute(difference(q_box.h, kv_box.h)), exactly(3))"));
}

#[test]
fn numbers_are_arguments() {
    let wide = WINDOW.replace("40", "4000");
    assert_eq!(kernel(WINDOW).source, kernel(&wide).source);
    assert_eq!(kernel(WINDOW).source, kernel(WINDOW).source);
}

#[test]
fn a_ragged_kernel_takes_its_lengths_from_the_index_pointers() {
    let strategy = strategy(WINDOW);
    let mut request = Request::new(&strategy, Room::Symbols, Target::parse("sm_80").unwrap());
    let RoomRequest::Symbols(of) = &mut request.room else { panic!("a request of symbols") };
    of.sequences = Sequences::Ragged;
    let kernel = generate(&request).unwrap();
    let fields: Vec<&str> = kernel.params.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(fields[..4], ["s_s_out", "s_f_out", "q_indptr", "kv_indptr"]);
    assert!(!fields.contains(&"n_q") && !fields.contains(&"n_kv"), "{fields:?}");
}

#[test]
fn lines_fit_the_page() {
    for body in [CACHE, SKIP, WINDOW, GRID] {
        for line in kernel(body).source.lines().filter(|line| !line.starts_with("// mask")) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
