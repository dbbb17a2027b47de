//! No text makes the compiler panic, and printing loses nothing.

mod random;

use proptest::prelude::*;
use proptest::sample::select;
use random::{Setting, bool, declared, lets, strategy};
use sparsym_dsl_core::{compile_str, print, render};
use sparsym_ir::bind::{InputData, TableData};
use sparsym_ir::strategy::{Schedule, Strategy, TokenRule, Value};
use sparsym_ir::{Bindings, Bound, Code, Findings, Layout, Moment, Problem, Span};

const SEEDS: [&str; 5] = [
    include_str!("../../../tests/strategies/pass/everything.strategy"),
    include_str!("../../../tests/strategies/pass/every_map.strategy"),
    include_str!("../../../tests/strategies/pass/sliding_tile.strategy"),
    include_str!("../../../tests/strategies/pass/fora.strategy"),
    include_str!("../../../tests/strategies/fail/ten_mistakes.strategy"),
];

const PIECES: [&str; 79] = [
    "pub",
    "Name",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    ":",
    "=",
    "=>",
    "==",
    "..",
    "..=",
    ".",
    "#",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "&&",
    "||",
    "<",
    "<=",
    "param",
    "table",
    "tokens",
    "mask",
    "score",
    "skip",
    "cache",
    "otherwise",
    "update when",
    "q",
    "kv",
    "in",
    "where",
    "by",
    "taylor",
    "1",
    "0.5",
    "999999999999999999999",
    "near",
    "/// doc\n",
    "let s =",
    "let m[q, kv] =",
    "let row(q) =",
    "let far(q, kv) =",
    "row(q)",
    "degrade when",
    "permute",
    "keep",
    "pool(Q) . pool(K)",
    "center",
    "selfsim",
    "Q",
    "K",
    "V",
    "softmax",
    "sum",
    "max",
    "kv:",
    "v in vision:",
    "s[q, kv]",
    "blocksum",
    "antidiag(Q, K, 8)",
    "ascending_mass",
    "descending_rank",
    "per head",
    "first:",
    "percentile",
    "cover(any:",
    "at least",
    "density(cache)",
    "weight",
];

/// A mistaken text still has to be shown.
fn compile(text: &str) -> Result<Strategy, Findings> {
    let result = compile_str("soup", text);
    if let Err(findings) = &result {
        assert!(!findings.is_empty());
        assert!(!render(findings, "soup", text).is_empty());
    }
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_text_does_not_panic(text in "\\PC{0,200}") {
        let _ = compile(&text);
    }

    #[test]
    fn random_tokens_do_not_panic(pieces in prop::collection::vec(select(&PIECES[..]), 0..60)) {
        let _ = compile(&pieces.join(" "));
        let _ = compile(&format!("pub Soup {{ {} }}", pieces.join(" ")));
    }

    #[test]
    fn damaged_strategies_do_not_panic(
        seed in select(&SEEDS[..]),
        cut in any::<prop::sample::Index>(),
        length in 0usize..40,
        piece in select(&PIECES[..]),
    ) {
        let chars: Vec<char> = seed.chars().collect();
        let start = cut.index(chars.len());
        let rest = &chars[(start + length).min(chars.len())..];
        let text: String = chars[..start].iter().chain(&piece.chars().collect::<Vec<_>>()).chain(rest).collect();
        if let Ok(strategy) = compile(&text) {
            prop_assert_eq!(&compile(&print(&strategy)).unwrap(), &strategy);
        }
    }

    #[test]
    fn printing_loses_nothing(strategy in strategy()) {
        let printed = print(&strategy);
        // A random rule may well be dead or have no effect. Such findings concern the meaning of a text that could be
        // read, and what was read is then still given.
        let tokens = printed.parse().unwrap();
        let (again, findings) = sparsym_dsl_core::analyze(tokens);
        let unread = findings.iter().find(|finding| {
            let id = finding.code.id();
            id.starts_with("S1") || (id.starts_with("S2") && !["S204", "S207", "S208", "S210"].contains(&id))
        });
        prop_assert!(unread.is_none(), "{}\n{}", printed, render(&findings, "printed", &printed));
        prop_assert_eq!(again.unwrap(), strategy, "{}", printed);
    }

    #[test]
    fn dead_and_always_true_are_proofs(
        (value, lets) in (bool(Setting::Token), lets::declared()),
        shift in -100i64..1000,
        cap in -1e3f64..1e3,
        causal in any::<bool>(),
        document in prop::collection::vec(-3i32..3, 72),
        (step, layer) in (0u32..12, 0u32..4),
    ) {
        let mask = Some(TokenRule { value, span: Span::default() });
        let strategy = Strategy { lets, ..declared(mask, None, Vec::new(), Schedule::default()) }.linked().unwrap();
        let findings = sparsym_dsl_core::check(&strategy);
        let claims = |code: Code| findings.iter().any(|finding| finding.code == code);
        let claim = match () {
            () if claims(Code::ZeroDivisor) => return Ok(()),
            () if claims(Code::DeadRule) => false,
            () if claims(Code::AlwaysTrue) => true,
            () => return Ok(()),
        };
        let problem = Problem { layout: Layout::text_front(8, [2, 4, 8]), ..Problem::self_attention(1, 72, 4, 64) };
        let table = |shape: &[usize], values: &[f32]| TableData { shape: shape.to_vec(), values: values.to_vec() };
        let bindings = Bindings {
            params: vec![Value::Int(shift), Value::Float(cap), Value::Bool(causal)],
            tables: vec![table(&[1, 4], &[-1.5, 0.25, 0.25, -1.5]), table(&[1], &[1.0, 3.0, 3.0])],
            inputs: vec![InputData { values: document.iter().map(|&v| v as f32).collect() }],
        };
        let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
        let moment = Moment { step, steps: 12, since_update: step.min(3), layer };
        for pair in (0..72 * 72).step_by(7) {
            let passes = bound.mask_at(&moment, 0, pair % 4, pair / 72, pair % 72);
            prop_assert_eq!(passes, claim, "{} at {:?}\n{}", findings, (pair / 72, pair % 72), print(&strategy));
        }
    }
}

#[test]
fn deep_nesting_is_a_finding() {
    let nests = [
        ("(", ")"),
        ("!", ""),
        ("-", ""),
        ("abs(", ")"),
        ("1 + ", ""),
        ("(", ""),
        ("[", "]"),
        ("sum(kv: ", ")"),
        ("softmax(kv where 1 > ", ": 1)"),
        ("ascending_mass(", ")"),
        ("cover(any: ", ")"),
        ("pool(Q) . pool(K) + ", ""),
        ("center(", ")"),
        ("1 at least ", ""),
    ];
    for (open, close) in nests {
        for depth in [50, 90, 500, 20_000] {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let _ = compile(&format!("pub Deep {{ mask q, kv => {value} > 0; }}"));
            let _ = compile(&format!("pub Deep {{ skip q, kv where {value} > 0; }}"));
            let _ = compile(&format!("pub Deep {{ let m = {value}; skip q, kv where m[q, kv] > 0; }}"));
        }
    }
}
