//! The manual of the instruction table is that of the table.

use std::path::Path;

#[test]
fn isa_md_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/isa.md");
    let wanted = ptx_emulator::isa_markdown();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "docs/isa.md is stale: BLESS=1 cargo test -p ptx-emulator --test isa");
}
