//! Names of a strategy as C++ takes them on every compiler: ASCII letters, digits and underscores.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use sparsym_ir::strategy::Strategy;

use crate::text;

/// The strategy with names that kernels may hold; names in ASCII stay as they are, but those of values that would meet
/// another name of the text.
pub(crate) fn in_ascii(strategy: &Strategy) -> Cow<'_, Strategy> {
    let mut renamed = Cow::Borrowed(strategy);
    let params = strategy.params.iter().map(|param| &param.name);
    let tables = strategy.tables.iter().map(|table| &table.name);
    let inputs = strategy.inputs.iter().map(|input| &input.name);
    let tokens = strategy.tokens.iter().map(|range| &range.name);
    let maps = strategy.maps.iter().map(|map| &map.name);
    if params.chain(tables).chain(inputs).chain(tokens).chain(maps).any(|name| spelt(name) != *name) {
        let strategy = renamed.to_mut();
        let params = strategy.params.iter_mut().map(|param| &mut param.name);
        let tables = strategy.tables.iter_mut().map(|table| &mut table.name);
        let inputs = strategy.inputs.iter_mut().map(|input| &mut input.name);
        let tokens = strategy.tokens.iter_mut().map(|range| &mut range.name);
        let maps = strategy.maps.iter_mut().map(|map| &mut map.name);
        params.chain(tables).chain(inputs).chain(tokens).chain(maps).for_each(|name| *name = spelt(name));
    }
    let lets = names_of_lets(strategy);
    if lets.iter().zip(&strategy.lets).any(|(name, of)| *name != of.name) {
        renamed.to_mut().lets.iter_mut().zip(lets).for_each(|(of, name)| of.name = name);
    }
    renamed
}

/// Values become locals of the author's name, without a prefix; so they must not meet other names.
fn names_of_lets(strategy: &Strategy) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut taken: HashSet<String> = strategy.lets.iter().map(|of| spelt(&of.name)).collect();
    for of in &strategy.lets {
        let mut name = spelt(&of.name);
        if is_taken(&name) {
            while is_taken(&name) || taken.contains(&name) {
                name.insert_str(0, "let_");
            }
            taken.insert(name.clone());
        }
        names.push(name);
    }
    names
}

/// Whether the language, the compiler, a template or a function of rules uses the name.
fn is_taken(name: &str) -> bool {
    // Names of the compiler, of fields, and of functions that are numbered.
    const PREFIXES: [&str; 23] = [
        "_",
        "nv",
        "cu",
        "bf16",
        "f16",
        "attention_",
        "symbols_",
        "is_in_",
        "table_",
        "input_",
        "map_",
        "param_",
        "range_",
        "entry_of_",
        "last_head_of_",
        "value_",
        "logit_",
        "weight_",
        "takes_",
        "keeps_",
        "stage_",
        "sees_",
        "make_",
    ];
    const NUMBERED: [&str; 9] =
        ["sum_over", "mean_over", "max_over", "min_over", "cut", "key", "covers", "some_pass", "some_fail"];
    static TEMPLATES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| text::texts().flat_map(text::words).collect());
    // `key_0`, `sum_over_kv_1`
    let numbered = |stem: &&str| name.strip_prefix(*stem).is_some_and(|rest| rest.starts_with('_'));
    let ends_in_a_number = name.ends_with(|c: char| c.is_ascii_digit());
    let is_constant = name.starts_with('k') && name[1..].starts_with(|c: char| c.is_ascii_uppercase());
    name.starts_with(|c: char| c.is_ascii_digit())
        || is_constant
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || ends_in_a_number && NUMBERED.iter().chain(&OF_RULES).any(numbered)
        || KEYWORDS.contains(&name)
        || OF_RULES.contains(&name)
        || TEMPLATES.contains(name)
}

/// Locals, parameters and functions that lowering makes.
const OF_RULES: [&str; 94] = [
    "Cuts",
    "MaskRow",
    "Params",
    "ScoreRow",
    "Tile",
    "antidiag",
    "at",
    "b",
    "block",
    "bound",
    "c",
    "cell",
    "classify",
    "column",
    "columns",
    "compute",
    "computes",
    "count",
    "cuts",
    "dense",
    "diff",
    "diff_cell",
    "diff_rest",
    "dot",
    "e",
    "elements",
    "end",
    "entry",
    "find_cuts",
    "first",
    "found",
    "frame_kv",
    "frame_q",
    "h",
    "holds",
    "i",
    "j",
    "judge",
    "judged",
    "keep",
    "keeps",
    "keeps_place",
    "kv",
    "kv_box",
    "kv_cell",
    "kv_cells",
    "kv_group",
    "kv_rest",
    "kv_run",
    "kv_tile",
    "least",
    "levels",
    "logit",
    "m",
    "mask",
    "mask_row",
    "measure",
    "most",
    "n",
    "next",
    "p",
    "pairs",
    "part",
    "passes",
    "q",
    "q_box",
    "q_cell",
    "q_cells",
    "q_group",
    "q_rest",
    "q_run",
    "q_tile",
    "r",
    "rest",
    "rest_kv",
    "rest_q",
    "row",
    "rows",
    "s",
    "score",
    "score_row",
    "search",
    "seen",
    "sees",
    "shared",
    "sum",
    "take_diff_cell",
    "take_kv_cell",
    "take_q_cell",
    "takes",
    "tile",
    "value",
    "verdict",
    "weight",
];

/// Words of C++, and of CUDA beside those that start with an underscore.
const KEYWORDS: [&str; 236] = [
    "NULL",
    "abs",
    "acos",
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asin",
    "asm",
    "assert",
    "atan",
    "atan2",
    "atomic_cancel",
    "atomic_commit",
    "atomic_noexcept",
    "auto",
    "bitand",
    "bitor",
    "blockDim",
    "blockIdx",
    "bool",
    "break",
    "case",
    "catch",
    "cbrt",
    "ceil",
    "ceilf",
    "char",
    "char1",
    "char16_t",
    "char2",
    "char3",
    "char32_t",
    "char4",
    "char8_t",
    "class",
    "clock",
    "clock64",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "contract_assert",
    "copysign",
    "cos",
    "cosf",
    "cosh",
    "decltype",
    "default",
    "delete",
    "dim3",
    "do",
    "double",
    "double1",
    "double2",
    "dynamic_cast",
    "else",
    "enum",
    "erf",
    "erff",
    "exp",
    "exp2",
    "exp2f",
    "expf",
    "explicit",
    "export",
    "extern",
    "fabs",
    "fabsf",
    "false",
    "fdim",
    "final",
    "float",
    "float1",
    "float2",
    "float3",
    "float4",
    "floor",
    "floorf",
    "fma",
    "fmaf",
    "fmax",
    "fmaxf",
    "fmin",
    "fminf",
    "fmod",
    "fmodf",
    "for",
    "free",
    "frexp",
    "friend",
    "gamma",
    "goto",
    "gridDim",
    "half",
    "hypot",
    "if",
    "ilogb",
    "import",
    "inline",
    "int",
    "int1",
    "int2",
    "int3",
    "int4",
    "isfinite",
    "isinf",
    "isnan",
    "j0",
    "j1",
    "jn",
    "labs",
    "ldexp",
    "lgamma",
    "linux",
    "llabs",
    "llrint",
    "llround",
    "log",
    "log10",
    "log2",
    "log2f",
    "logb",
    "logf",
    "long",
    "long1",
    "long2",
    "lrint",
    "lround",
    "malloc",
    "max",
    "memcpy",
    "memset",
    "min",
    "modf",
    "module",
    "mutable",
    "namespace",
    "nan",
    "nearbyint",
    "new",
    "nextafter",
    "noexcept",
    "norm",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "override",
    "pow",
    "powf",
    "printf",
    "private",
    "protected",
    "ptrdiff_t",
    "public",
    "rand",
    "rcbrt",
    "reflexpr",
    "register",
    "reinterpret_cast",
    "remainder",
    "remquo",
    "requires",
    "return",
    "rint",
    "rnorm",
    "round",
    "roundf",
    "rsqrt",
    "rsqrtf",
    "scalbn",
    "short",
    "short1",
    "short2",
    "signbit",
    "signed",
    "sin",
    "sincos",
    "sinf",
    "sinh",
    "size_t",
    "sizeof",
    "sqrtf",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "synchronized",
    "tan",
    "tanh",
    "tanhf",
    "template",
    "tgamma",
    "this",
    "threadIdx",
    "thread_local",
    "throw",
    "true",
    "trunc",
    "truncf",
    "try",
    "typedef",
    "typeid",
    "typename",
    "uchar1",
    "uint",
    "uint1",
    "uint2",
    "uint3",
    "uint4",
    "union",
    "unix",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "warpSize",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
    "y0",
    "y1",
    "yn",
];

/// Other characters become `_u` and six digits. Where a name has that already, its underscore is spelt so too: no two names
/// become one.
fn spelt(name: &str) -> String {
    let looks_spelt = |rest: &str| {
        let digits = rest.strip_prefix("_u").and_then(|rest| rest.get(..6));
        digits.is_some_and(|digits| digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')))
    };
    let mut out = String::new();
    for (at, c) in name.char_indices() {
        match (c.is_ascii_alphanumeric() || c == '_') && !looks_spelt(&name[at..]) {
            true => out.push(c),
            false => out.push_str(&format!("_u{:06x}", u32::from(c))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use sparsym_ir::expr::{Expr, ExprKind, Type};
    use sparsym_ir::lets::{Let, LetSide};
    use sparsym_ir::{Span, Strategy};

    use super::{in_ascii, spelt};

    #[test]
    fn names_of_values_meet_no_other() {
        let named = |name: &&str| {
            let value = Expr { kind: ExprKind::Int(1), ty: Type::Int, span: Span::default() };
            Let { name: (*name).to_owned(), side: LetSide::None, value, span: Span::default() }
        };
        let names = ["hamlet", "register", "let_register", "tile", "größe", "verdict", "kTileQ", "key_0", "_x"];
        let strategy = Strategy { lets: names.iter().map(named).collect(), ..Strategy::dense() };
        let spelt = in_ascii(&strategy);
        let spelt: Vec<&str> = spelt.lets.iter().map(|of| of.name.as_str()).collect();
        let expected = [
            "hamlet",
            "let_let_register",
            "let_register",
            "let_tile",
            "gr_u0000f6_u0000dfe",
            "let_verdict",
            "let_kTileQ",
            "let_key_0",
            "let__x",
        ];
        assert_eq!(spelt, expected);
    }

    #[test]
    fn no_two_names_become_one() {
        assert_eq!(spelt("größe"), "gr_u0000f6_u0000dfe");
        assert_eq!(spelt("a_unit_u12"), "a_unit_u12");
        let names = ["ö", "_u0000f6", "_u00005fu0000f6", "_u_u0000f6", "_uö", "r#fn", "fn"];
        let spelt: std::collections::BTreeSet<String> = names.iter().map(|name| spelt(name)).collect();
        assert_eq!(spelt.len(), names.len(), "{spelt:?}");
        assert!(spelt.iter().flat_map(|name| name.chars()).all(|c| c.is_ascii_alphanumeric() || c == '_'));
    }
}
