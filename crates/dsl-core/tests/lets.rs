//! Named values keep their names: in the IR, in its data, and in printed text.

use sparsym_dsl_core::{compile_str, print};
use sparsym_ir::Strategy;
use sparsym_ir::expr::ExprKind;
use sparsym_ir::lets::LetSide;

const TEXT: &str = "pub Named {
    param reach: u32 in 1.. = 2;
    tokens text, vision(t, h, w);
    let twice = reach * 2;
    let row(q) = clamp(q.h, reach, grid_h - 1 - reach) + twice;
    let column(kv) = kv.w / reach;
    let apart(a, b) = abs(row(a) - column(b));
    mask x, y => apart(x, y) <= twice && (row(x) > 3 || column(y) == row(x));
}";

#[test]
fn a_name_is_declared_once_and_read_by_its_number() {
    let strategy = compile_str("named", TEXT).unwrap();
    let lets: Vec<(&str, LetSide)> = strategy.lets.iter().map(|of| (of.name.as_str(), of.side)).collect();
    let sides = [LetSide::None, LetSide::Q, LetSide::Kv, LetSide::Pair];
    assert_eq!(lets, ["twice", "row", "column", "apart"].into_iter().zip(sides).collect::<Vec<_>>());
    let mut read = Vec::new();
    strategy.mask.as_ref().unwrap().value.walk_pair(&mut |e| {
        if let ExprKind::Let(named) = &e.kind {
            read.push(named.id.0);
        }
    });
    // `apart` and what it reads for each pair: of `row` and `twice`, which are the same for all columns, no further.
    assert_eq!(read, [3, 1, 2, 0, 1, 2, 1]);
    let printed = print(&strategy);
    assert!(printed.contains("let apart(q, kv) = abs(row(q) - column(kv));"), "{printed}");
    assert_eq!(compile_str("printed", &printed).unwrap(), strategy);
    let inlined = strategy.inlined();
    assert!(inlined.lets.is_empty() && !inlined.exprs().any(|e| e.any(|e| matches!(e.kind, ExprKind::Let(_)))));
}

#[test]
fn as_data_a_value_is_written_once() {
    let strategy = compile_str("named", TEXT).unwrap();
    let json = serde_json::to_string(&strategy).unwrap();
    assert_eq!(json.matches("\"Clamp\"").count(), 1, "{json}");
    assert_eq!(serde_json::from_str::<Strategy>(&json).unwrap(), strategy);
    // A value that reads a later one would have no end.
    let loops = json.replacen("\"id\":0", "\"id\":3", 1);
    let refused = serde_json::from_str::<Strategy>(&loops).unwrap_err().to_string();
    assert!(refused.contains("`let` value 3, which is not declared before it"), "{refused}");
}

#[test]
fn names_may_not_make_an_expression_without_end() {
    let mut text = String::from("pub Long {\n    let a0(q) = q.pos + q.pos;\n");
    for n in 1..40 {
        text.push_str(&format!("    let a{n}(q) = a{0}(q) + a{0}(q);\n", n - 1));
    }
    text.push_str("    mask q, kv => a39(q) < kv.pos;\n}");
    let findings = compile_str("long", &text).unwrap_err();
    assert!(findings.iter().any(|finding| finding.code.id() == "S106"), "{findings}");
    // A chain of names is no deeper than what they stand for.
    let mut text = String::from("pub Chain {\n    let a0(q) = q.pos;\n");
    for n in 1..90 {
        text.push_str(&format!("    let a{n}(q) = a{}(q) + 1;\n", n - 1));
    }
    text.push_str("    mask q, kv => a89(q) < kv.pos;\n}");
    let strategy = compile_str("chain", &text).unwrap();
    assert_eq!(compile_str("printed", &print(&strategy)).unwrap(), strategy);
}
