//! Names of a strategy as C++ takes them on every compiler: ASCII letters, digits and underscores.

use std::borrow::Cow;

use sparsym_ir::strategy::Strategy;

/// The strategy with names that kernels may hold; names in ASCII stay as they are.
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
    renamed
}

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
    use super::spelt;

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
