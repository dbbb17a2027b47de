//! Heads whose symbols are the same.

use std::collections::HashMap;

use sparsym::ir::Symbols;
use sparsym::ir::symbols::SkipSymbol;

/// The heads of the first batch item in groups that have equal symbols, each group and all of them in ascending order.
pub(crate) fn heads_alike(symbols: &Symbols) -> Vec<Vec<usize>> {
    let rows = |symbol: &SkipSymbol, h: usize| -> Vec<u64> {
        let (first, rows) = (symbol.row_index(0, h, 0), symbol.rows());
        let words = first * rows.row_words()..(first + symbol.q_blocks()) * rows.row_words();
        rows.words()[words].to_vec()
    };
    let mut known: HashMap<_, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for h in 0..symbols.skip.heads() {
        let cache: Vec<bool> = (0..symbols.cache.q_blocks()).map(|i| symbols.cache.get(0, h, i)).collect();
        let key = (cache, rows(&symbols.skip, h), symbols.full.as_ref().map(|full| rows(full, h)));
        let group = *known.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(h);
    }
    groups
}

/// `head 3`, `heads 0-23 alike`, `heads 0, 4 and 4 more alike`. The pictures' font has no dash.
pub(crate) fn name(heads: &[usize]) -> String {
    const MOST: usize = 2;
    match heads {
        [head] => format!("head {head}"),
        [first, .., last] if last - first + 1 == heads.len() => format!("heads {first}-{last} alike"),
        _ if heads.len() > MOST + 1 => {
            let shown: Vec<String> = heads[..MOST].iter().map(usize::to_string).collect();
            format!("heads {} and {} more alike", shown.join(", "), heads.len() - MOST)
        }
        _ => {
            let shown: Vec<String> = heads.iter().map(usize::to_string).collect();
            format!("heads {} alike", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_with_equal_symbols_stand_together() {
        let mut symbols = Symbols::dense(1, 4, 3, 70);
        symbols.skip.set(0, 1, 2, 69, false);
        symbols.cache.set(0, 3, 0, false);
        assert_eq!(heads_alike(&symbols), [vec![0, 2], vec![1], vec![3]]);
        assert_eq!(name(&[4]), "head 4");
        assert_eq!(name(&[2, 3, 4]), "heads 2-4 alike");
        assert_eq!(name(&[0, 2]), "heads 0, 2 alike");
        assert_eq!(name(&[0, 4, 8, 12, 16]), "heads 0, 4 and 3 more alike");
    }
}
