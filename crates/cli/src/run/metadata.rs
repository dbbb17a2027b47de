//! Keys of a file's metadata: those that a room reads, and what to say of others.

/// Every key that some room reads, and `tables.NAME`.
const KEYS: [&str; 14] = [
    "block_q",
    "block_kv",
    "scale",
    "text",
    "text_at",
    "grid",
    "step",
    "steps",
    "layer",
    "since_update",
    "head_dim",
    "norm_eps",
    "rope",
    "heads",
];
/// A file with more foreign keys than this is another tool's, not mistyped.
const MOST_LOOKED_AT: usize = 1000;

/// The keys that no room reads, in order. Other tools write keys of their own, such as `format`, so they are no mistake.
///
/// # Errors
/// A key that is nearly one that is read, and that one: it would be ignored in silence, and a default taken in its place.
pub(super) fn foreign<'a>(keys: impl Iterator<Item = &'a str>) -> Result<Vec<&'a str>, [&'a str; 2]> {
    let mut foreign: Vec<&str> =
        keys.filter(|key| !KEYS.contains(key) && !key.starts_with("tables.") && !key.is_empty()).collect();
    foreign.sort_unstable();
    if foreign.len() <= MOST_LOOKED_AT
        && let Some(found) = foreign.iter().find_map(|key| Some([*key, meant(key)?]))
    {
        return Err(found);
    }
    Ok(foreign)
}

fn meant(key: &str) -> Option<&'static str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' ', '.'], "_");
    let distance = |known: &str| strsim::damerau_levenshtein(&plain(key), known);
    let near = KEYS.into_iter().map(|known| (distance(known), known));
    let near = near.filter(|(distance, known)| *distance <= if key.len().max(known.len()) > 6 { 2 } else { 1 });
    near.min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_is_told_from_a_foreign_one() {
        let one = |key| foreign([key].into_iter());
        for (key, meant) in [
            ("blockq", "block_q"),
            ("block-kv", "block_kv"),
            ("Block_Q", "block_q"),
            ("block", "block_q"),
            ("gird", "grid"),
            ("Grid", "grid"),
            ("layers", "layer"),
            ("text at", "text_at"),
            ("headdim", "head_dim"),
        ] {
            assert_eq!(one(key), Err([key, meant]));
        }
        for key in ["format", "shape", "type", "version", "model", "dtype", "seed", "title", "note", "source", "date"] {
            assert_eq!(one(key), Ok(vec![key]));
        }
        assert_eq!(one("grid"), Ok(Vec::new()));
        assert_eq!(one("tables.window"), Ok(Vec::new()));
    }
}
