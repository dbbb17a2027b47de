//! What a thread does with the other CTAs of its cluster.

use super::context::Effect;
use super::mbarrier::CLUSTER;
use super::phases::Order;
use crate::misuse::ClusterMisuse;
use crate::trap::Fault;

impl Effect<'_> {
    /// The executing lanes arrive at the barrier of the cluster, and tell what they know; relaxed, what they knew at their last fence.
    pub(crate) fn arrive_at_cluster(&mut self, order: Order) -> Result<(), Box<Fault>> {
        let lanes = self.lanes.mask();
        let (warp, races, fences) = (self.warp.agent as usize, &mut self.shared.races, &self.warp.fences);
        let completes =
            self.shared.cluster_barrier.arrive(&mut self.warp.cluster, lanes, |arriving| match (order, races) {
                (Order::Ordered, Some(races)) => races.clocks().contribute(warp, lanes, arriving),
                (Order::Relaxed, Some(_)) => fences.tell(lanes, arriving),
                (_, None) => {}
            });
        if completes.map_err(|lane| cluster(lane, ClusterMisuse::ArrivesTwice))? {
            self.shared.mbarriers.complete(CLUSTER);
        }
        Ok(())
    }

    /// Whether the executing lanes may go on from the barrier of the cluster. They learn what those know who arrived.
    pub(crate) fn pass_cluster(&mut self) -> Result<bool, Box<Fault>> {
        let lanes = self.lanes.mask();
        let passes = self.shared.cluster_barrier.passes(&mut self.warp.cluster, lanes);
        let passes = passes.map_err(|lane| cluster(lane, ClusterMisuse::WaitsWithoutArriving))?;
        if passes && let Some(races) = &mut self.shared.races {
            races.clocks().receive(self.warp.agent as usize, lanes, &self.shared.cluster_barrier.done);
        }
        Ok(passes)
    }

    /// The number of a CTA of the cluster.
    pub(crate) fn expect_rank(&self, lane: usize, rank: u32) -> Result<u32, Box<Fault>> {
        let ctas = self.shared.ctas() as u32;
        if rank < ctas { Ok(rank) } else { Err(cluster(lane, ClusterMisuse::Rank { rank, ctas })) }
    }

    /// Whether a place of shared memory may be accessed: that of another CTA only while that is sure to run.
    #[cold]
    pub(crate) fn expect_running(&self, lane: usize, offset: usize) -> Result<(), Box<Fault>> {
        let rank = self.shared.rank_of(offset);
        if rank == self.shared.rank() {
            return Ok(());
        }
        let rank = rank as u32;
        if self.shared.has_ended(rank as usize) {
            return Err(cluster(lane, ClusterMisuse::Ended { rank }));
        }
        if self.shared.cluster_barrier.phase == 0 {
            return Err(cluster(lane, ClusterMisuse::NotStarted { rank }));
        }
        Ok(())
    }
}

/// A fault about clusters.
#[cold]
fn cluster(lane: usize, misuse: ClusterMisuse) -> Box<Fault> {
    Box::new(Fault::Cluster { lane, misuse })
}
