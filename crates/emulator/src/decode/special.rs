//! Special registers: what a thread can ask about itself.

use crate::isa::form::Class;
use crate::machine::lanes::WARP;

/// A special register whose value does not change while a thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// A lane's thread index along an axis.
    Tid(usize),
    /// Threads of a CTA along an axis.
    Ntid(usize),
    /// The CTA's index along an axis.
    Ctaid(usize),
    /// CTAs of the launch along an axis.
    Nctaid(usize),
    LaneId,
    WarpId,
    NwarpId,
    LanemaskEq,
    LanemaskLe,
    LanemaskLt,
    LanemaskGe,
    LanemaskGt,
    DynamicSharedBytes,
    TotalSharedBytes,
    /// The cluster's index along an axis.
    ClusterId(usize),
    /// Clusters of the launch along an axis.
    ClusterCount(usize),
    /// The CTA's index in its cluster along an axis.
    InCluster(usize),
    /// CTAs of a cluster along an axis.
    OfCluster(usize),
    /// The CTA's number in its cluster.
    ClusterRank,
    /// CTAs of a cluster.
    ClusterSize,
    /// Whether the launch has clusters.
    HasClusters,
    /// 0: one multiprocessor, one grid.
    Zero,
    One,
}

/// The width of a clock, and how many of its bits the register leaves out below; None if the name is none of a clock.
pub(super) fn clock(name: &str) -> Option<(Class, i64)> {
    match name {
        "%clock64" | "%globaltimer" => Some((Class::Wide, 0)),
        "%clock" | "%globaltimer_lo" => Some((Class::Word, 0)),
        "%clock_hi" | "%globaltimer_hi" => Some((Class::Word, 32)),
        _ => None,
    }
}

/// What a warp knows when it starts.
pub(crate) struct Start {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) cta: [u32; 3],
    /// CTAs of a cluster.
    pub(crate) cluster: [u32; 3],
    /// The CTA's place in its cluster.
    pub(crate) in_cluster: [u32; 3],
    /// Index of the warp in its CTA.
    pub(crate) warp: u32,
    pub(crate) dynamic_shared: u32,
    pub(crate) total_shared: u32,
}

impl Special {
    /// The register of this name, if it is one that the emulator has.
    pub(super) fn parse(name: &str) -> Option<Special> {
        let (name, axis) = match name.rsplit_once('.') {
            Some((name, axis)) => (name, ["x", "y", "z"].iter().position(|known| *known == axis)?),
            None => (name, 0),
        };
        Some(match name {
            "%tid" => Special::Tid(axis),
            "%ntid" => Special::Ntid(axis),
            "%ctaid" => Special::Ctaid(axis),
            "%nctaid" => Special::Nctaid(axis),
            "%laneid" => Special::LaneId,
            "%warpid" => Special::WarpId,
            "%nwarpid" => Special::NwarpId,
            "%lanemask_eq" => Special::LanemaskEq,
            "%lanemask_le" => Special::LanemaskLe,
            "%lanemask_lt" => Special::LanemaskLt,
            "%lanemask_ge" => Special::LanemaskGe,
            "%lanemask_gt" => Special::LanemaskGt,
            "%dynamic_smem_size" => Special::DynamicSharedBytes,
            "%total_smem_size" => Special::TotalSharedBytes,
            "%clusterid" => Special::ClusterId(axis),
            "%nclusterid" => Special::ClusterCount(axis),
            "%cluster_ctaid" => Special::InCluster(axis),
            "%cluster_nctaid" => Special::OfCluster(axis),
            "%cluster_ctarank" => Special::ClusterRank,
            "%cluster_nctarank" => Special::ClusterSize,
            "%is_explicit_cluster" => Special::HasClusters,
            "%smid" | "%gridid" => Special::Zero,
            "%nsmid" => Special::One,
            _ => return None,
        })
    }

    /// Its value in each lane.
    pub(crate) fn values(self, start: &Start) -> [u32; WARP] {
        let [x, y, _] = start.block;
        std::array::from_fn(|lane| {
            let thread = start.warp * WARP as u32 + lane as u32;
            let bit = 1u32 << lane;
            match self {
                Special::Tid(0) => thread % x,
                Special::Tid(1) => thread / x % y,
                Special::Tid(_) => thread / x / y,
                Special::Ntid(axis) => start.block[axis],
                Special::Ctaid(axis) => start.cta[axis],
                Special::Nctaid(axis) => start.grid[axis],
                Special::LaneId => lane as u32,
                Special::WarpId => start.warp,
                Special::NwarpId => start.block.iter().product::<u32>().div_ceil(WARP as u32),
                Special::LanemaskEq => bit,
                Special::LanemaskLe => bit | (bit - 1),
                Special::LanemaskLt => bit - 1,
                Special::LanemaskGe => !(bit - 1),
                Special::LanemaskGt => !(bit | (bit - 1)),
                Special::DynamicSharedBytes => start.dynamic_shared,
                Special::TotalSharedBytes => start.total_shared,
                Special::ClusterId(axis) => start.cta[axis] / start.cluster[axis],
                Special::ClusterCount(axis) => start.grid[axis] / start.cluster[axis],
                Special::InCluster(axis) => start.in_cluster[axis],
                Special::OfCluster(axis) => start.cluster[axis],
                Special::ClusterRank => {
                    let ([x, y, z], [width, height, _]) = (start.in_cluster, start.cluster);
                    x + width * (y + height * z)
                }
                Special::ClusterSize => start.cluster.iter().product(),
                Special::HasClusters => u32::from(start.cluster != [1; 3]),
                Special::Zero => 0,
                Special::One => 1,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_numbered_along_x_first() {
        let start = Start {
            grid: [1, 1, 1],
            block: [8, 4, 2],
            cta: [0, 0, 0],
            cluster: [1; 3],
            in_cluster: [0; 3],
            warp: 1,
            dynamic_shared: 0,
            total_shared: 0,
        };
        let at = |special: Special, lane: usize| special.values(&start)[lane];
        assert_eq!([0, 1, 2].map(|axis| at(Special::Tid(axis), 13)), [5, 1, 1]);
        assert_eq!(
            [at(Special::LanemaskLt, 3), at(Special::LanemaskGe, 31), at(Special::LanemaskLe, 31)],
            [7, 1 << 31, u32::MAX]
        );
        assert_eq!(Special::parse("%ctaid.z"), Some(Special::Ctaid(2)));
        assert_eq!((Special::parse("%clock"), clock("%clock_hi")), (None, Some((Class::Word, 32))));
    }
}
