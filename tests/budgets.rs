//! Budgets of generated texts: people read them. What exceeds one is listed here, with its reason, and may not grow.

use sparsym::kernel::Target;
use sparsym_tests::kernels::{self, Generated};

/// Lines of a text.
const LINES: usize = 400;
/// Characters of a line.
const WIDTH: usize = 100;
/// Parameters of a function: more belong together in a struct.
const PARAMETERS: usize = 6;

/// Texts that are longer, by the start of their names: the first that fits counts. Of dense attention's 630 lines ninety are
/// one-instruction functions, fifty are constants and parameters, seventy separate functions and ninety explain.
const LONGER: [(&str, usize, &str); 11] = [
    ("attention_heaviest_first", 974, "a first launch that lists the tiles, and any of the below"),
    ("attention_forecast_masked", 865, "a mask, and a forecast beside it"),
    ("attention_masked_scored", 890, "an element test and a score, with what rows hold of both"),
    ("attention_masked", 828, "an element test, and products of V with infinities"),
    ("attention_forecast", 714, "dense attention and a forecast"),
    ("attention", 690, "two row tiles a warp, next to the products of the next tile: the fastest schedule measured"),
    ("gemm_o", 565, "the walk over heads, two sums in one launch, partials"),
    ("gemm_q", 558, "everything that follows a product: bias, norm, rotation, means; the list of tiles"),
    ("symbols_cache_skip", 900, "rules over Q and K: a function for each map and each cut"),
    ("symbols_skip", 800, "rules over Q and K: a function for each map and each cut"),
    ("symbols", 450, "masks that only intervals decide, and rules over maps"),
];

/// What may be wider: a threshold or a term of a rule is one expression, as its author wrote it.
const WIDER: [&str; 3] = ["const float bound = ", "const int bound = ", "has_term ? "];

#[test]
fn texts_are_short_enough_to_read() {
    over_all("long texts", |generated| {
        let lines = generated.kernel.source.lines().count();
        let listed = LONGER.iter().find(|(start, ..)| generated.kernel.name.starts_with(start));
        let most = listed.map_or(LINES, |(_, most, _)| (*most).max(LINES));
        if lines > most { vec![format!("{lines} lines, and at most {most}")] } else { Vec::new() }
    });
}

#[test]
fn no_exception_is_roomier_than_it_must_be() {
    let texts = all();
    let mut wrong = Vec::new();
    for (start, most, why) in LONGER {
        let is_first =
            |name: &str| LONGER.iter().find(|(other, ..)| name.starts_with(other)).map(|of| of.0) == Some(start);
        let of = texts.iter().filter(|generated| is_first(&generated.kernel.name));
        let longest = of.map(|generated| generated.kernel.source.lines().count()).max().unwrap_or(0);
        if longest + 40 < most {
            wrong.push(format!("{start}, {why}: {most} lines are allowed and {longest} are there; lower it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lines_fit_a_hundred_columns() {
    over_all("wide lines", |generated| {
        let (_, rest) = generated.kernel.source.split_once("\n\n").expect("a header ends with a blank line");
        let (before, rest) = rest.split_once("struct Params {").expect("a kernel has Params");
        let (_, body) = rest.split_once("};").expect("Params ends");
        // What users named and wrote stands as they wrote it: rules in the header, docs in the struct, names of launches.
        let may_be_wide = |line: &str| {
            line.ends_with("(const __grid_constant__ Params p) {")
                || WIDER.iter().any(|start| line.trim_start().starts_with(start))
        };
        let wide = |line: &&str| line.chars().count() > WIDTH && !may_be_wide(line);
        before.lines().chain(body.lines()).filter(wide).map(str::to_owned).collect()
    });
}

#[test]
fn functions_take_six_parameters() {
    over_all("functions with many parameters", |generated| {
        let source = &generated.kernel.source;
        let functions = source.split("\nDEVICE ").skip(1);
        let head = |function: &str| function.split(" {").next().map(str::to_owned);
        functions.filter_map(head).filter(|head| parameters(head) > PARAMETERS).collect()
    });
}

/// Parameters in the head of a function: `name(a, b)`. Brackets of array types hold no commas.
fn parameters(head: &str) -> usize {
    head.split_once('(').map_or(0, |(_, list)| list.matches(',').count() + usize::from(!list.starts_with(')')))
}

#[test]
fn parameters_are_counted() {
    assert_eq!(parameters("int f()"), 0);
    assert_eq!(parameters("void f(float (&s)[4][2],\n    const Params& p)"), 2);
}

fn all() -> Vec<Generated> {
    kernels::generated(Target::parse("sm_80").expect("sm_80 is known"))
}

/// Each text once, with what is wrong with it.
fn over_all(rule: &str, wrong: impl Fn(&Generated) -> Vec<String>) {
    let texts = all();
    assert!(texts.len() > 100, "the corpus has its kernels");
    let found: Vec<String> = texts
        .iter()
        .flat_map(|generated| wrong(generated).into_iter().map(|what| format!("{}: {what}", generated.kernel.name)))
        .collect();
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}
