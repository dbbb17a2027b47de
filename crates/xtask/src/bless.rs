//! `cargo xtask bless`: accept what the tests see now.

use anyhow::Result;

use crate::test;

/// Runs every test with leave to rewrite its golden file. The diff is the thing to review.
pub(crate) fn run() -> Result<()> {
    // One variable for each tool: insta snapshots, trybuild messages, and our own generated documents.
    test::with_environment(&[], &[("INSTA_UPDATE", "always"), ("TRYBUILD", "overwrite"), ("BLESS", "1")])
}
