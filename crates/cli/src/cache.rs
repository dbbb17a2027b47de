//! `sparsym cache`: the folder of compiled kernels.

use clap::{Args, Subcommand};
use serde::Serialize;
use sparsym::kernel::Cache;
use sparsym::kernel::cache::{CacheStats, Verified};

use crate::failure::Outcome;
use crate::output::{self, Report};

/// Arguments of `sparsym cache`.
#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    /// What to do; left out: stats.
    #[command(subcommand)]
    action: Option<Action>,
}

/// What to do with the cache.
#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Show folder, entries and size.
    Stats,
    /// Delete all entries.
    Clear,
    /// Check the digest of every entry and delete damaged ones.
    Verify,
}

#[derive(Serialize)]
struct Cleared {
    removed: u64,
}

/// Looks at, empties or checks the cache.
pub(crate) fn run(args: &CacheArgs, report: Report) -> Outcome {
    let cache = Cache::open();
    match args.action.unwrap_or(Action::Stats) {
        Action::Stats => {
            let stats = cache.stats();
            output::print(report, &stats, || describe(&stats))
        }
        Action::Clear => {
            let removed = cache.clear()?;
            output::print(report, &Cleared { removed }, || format!("{removed} entries removed"))
        }
        Action::Verify => {
            let verified = cache.verify();
            let Verified { good, corrupt, .. } = verified;
            output::print(report, &verified, || format!("{good} good entries, {corrupt} damaged ones deleted"))
        }
    }
}

/// Folder, entries and size in one line.
pub(crate) fn describe(stats: &CacheStats) -> String {
    match &stats.folder {
        Some(folder) => {
            let why =
                stats.not_used.as_ref().map_or(String::new(), |reason| format!("; not used, because it {reason}"));
            format!("{}: {} entries, {} bytes{why}", folder.display(), stats.entries, stats.bytes)
        }
        None => "no folder: none of SPARSYM_CACHE, XDG_CACHE_HOME and HOME is set".to_owned(),
    }
}
