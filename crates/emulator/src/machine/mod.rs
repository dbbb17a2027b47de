//! The machine: lanes, warps, CTAs, and who runs when.

pub(crate) mod barrier;
pub(crate) mod bulk;
mod call;
pub(crate) mod cluster;
pub(crate) mod cluster_access;
pub(crate) mod cluster_barrier;
pub(crate) mod context;
pub(crate) mod copies;
pub(crate) mod counts;
pub(crate) mod cta;
pub(crate) mod descriptor;
pub(crate) mod exchange;
pub(crate) mod fences;
pub(crate) mod lanes;
pub(crate) mod launch;
pub(crate) mod mbarrier;
pub(crate) mod phases;
pub(crate) mod print;
pub(crate) mod registers;
pub(crate) mod stores;
pub(crate) mod tile;
pub(crate) mod transfers;
pub(crate) mod warp;
pub(crate) mod wgmma;
