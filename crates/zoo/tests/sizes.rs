//! The claim of the zoo: every published strategy in under forty lines.

use std::path::Path;

#[test]
fn every_strategy_is_under_forty_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut strategies = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let Some((_, body)) = text.split_once("\nstrategy! {\n") else { continue };
        let (body, _) = body.split_once("\n}").unwrap_or_else(|| panic!("{} has no end", path.display()));
        strategies += 1;
        let lines = body.lines().count() + 2;
        println!("{:>3} {}", lines, path.file_stem().unwrap().display());
        assert!(lines < 40, "{} has {lines} lines", path.display());
        let prose = text.lines().take_while(|line| line.starts_with("//!")).count();
        assert!(prose >= 3 || path.ends_with("dense.rs"), "{} does not say what it does", path.display());
        assert!(
            text.contains("arXiv")
                || path.ends_with("dense.rs")
                || path.ends_with("causal.rs")
                || path.ends_with("document.rs"),
            "{} does not say where it comes from",
            path.display()
        );
    }
    assert_eq!(strategies, 17);
}
