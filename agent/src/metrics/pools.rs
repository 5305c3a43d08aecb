//! The cluster's pools of addresses, as far as this agent has to do with them. Nothing is asked for a scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::series::{Labels, Series, number};
use crate::cluster::IpPool;
use crate::ipam::whereabouts::Cluster;
use crate::ipam::whereabouts::range::{Range, RangeText};
use crate::ipam::whereabouts::reconcile::Counts;
use crate::ipam::whereabouts::slices::{PoolView, Slices};

/// Most pools with series of their own: their names come from NetworkAttachmentDefinitions.
const POOLS_MAX: usize = 256;

/// Pools that this agent has used, as the API server's last answers showed them, and how hard it was to get addresses.
pub(super) fn classic(cluster: &Cluster) -> Vec<Series> {
    let known = cluster.known();
    let rows = |value: &dyn Fn(&IpPool) -> Option<u64>| -> Vec<(Labels, f64)> {
        let shown = known.iter().take(POOLS_MAX);
        let row = |pool: &Arc<IpPool>| {
            let labels = vec![("pool", pool.name.clone()), ("range", pool.range.clone())];
            Some((labels, number(value(pool)?)))
        };
        shown.filter_map(row).collect()
    };
    let size = |pool: &IpPool| {
        let text = RangeText { range: pool.range.clone(), ..RangeText::default() };
        let range = Range::new(&text, "range").ok()?;
        Some(u64::try_from(range.capacity()).unwrap_or(u64::MAX))
    };
    let count = |value: u64| vec![(Labels::new(), number(value))];
    vec![
        Series::gauge(
            "plexus_ipam_cluster_pool_size",
            "Addresses of a cluster's pool, exclusions of configs not counted",
            rows(&size),
        ),
        Series::gauge(
            "plexus_ipam_cluster_pool_used",
            "Addresses of a cluster's pool that are held, when this agent used it last",
            rows(&|pool| Some(pool.allocations.len() as u64)),
        ),
        Series::single(
            "plexus_ipam_cluster_pools_left_out",
            "Pools of the cluster that are not shown, because there are too many",
            known.len().saturating_sub(POOLS_MAX),
        ),
        Series::counter(
            "plexus_ipam_cluster_allocations",
            "Addresses of the cluster's pools that ADDs were given",
            count(cluster.allocated()),
        ),
        Series::counter(
            "plexus_ipam_cluster_retries",
            "Changes of the cluster's pools that were tried again: others were quicker, or a call failed",
            count(cluster.retries()),
        ),
        Series::single(
            "plexus_ipam_cluster_releases_waiting",
            "Interfaces whose addresses the API server has not taken back yet",
            cluster.pending.len(),
        ),
    ]
}

/// Slices that this node owns, and what happened to them.
pub(super) fn fast(slices: &Slices) -> Vec<Series> {
    let views = slices.views();
    let rows = |value: &dyn Fn(&PoolView) -> u64| {
        let row = |view: &PoolView| (vec![("pool", view.name.clone())], number(value(view)));
        views.iter().take(POOLS_MAX).map(row).collect::<Vec<_>>()
    };
    let counters = slices.counters();
    let events = [
        ("allocated", &counters.allocated),
        ("freed", &counters.freed),
        ("waited", &counters.waited),
        ("claimed", &counters.claimed),
        ("conflict", &counters.conflicts),
        ("given_back", &counters.given_back),
        ("lost", &counters.lost),
        ("exhausted", &counters.exhausted),
    ];
    let events = events.map(|(event, count)| (vec![("event", event.to_owned())], number(count.get())));
    vec![
        Series::gauge(
            "plexus_ipam_slices",
            "Slices that this node owns",
            rows(&|view| view.slices.len() as u64),
        ),
        Series::gauge(
            "plexus_ipam_slices_size",
            "Addresses that this node's slices can hand out",
            rows(&|view| u64::try_from(view.usage.capacity).unwrap_or(u64::MAX)),
        ),
        Series::gauge(
            "plexus_ipam_slices_used",
            "Addresses of this node's slices that are held",
            rows(&|view| view.leases.len() as u64),
        ),
        Series::counter("plexus_ipam_slice_events", "What happened in fast mode, by event", events.into()),
    ]
}

/// What the reconciler did.
pub(super) fn reconciler(counts: &Counts) -> Vec<Series> {
    let rows = |label: &'static str, counts: &[(&str, &AtomicU64)]| {
        let row = |(name, count): &(&str, &AtomicU64)| {
            (vec![(label, (*name).to_owned())], number(count.load(Ordering::Relaxed)))
        };
        counts.iter().map(row).collect::<Vec<_>>()
    };
    let freed = [
        ("allocation", &counts.allocations),
        ("reservation", &counts.reservations),
        ("slice", &counts.slices),
    ];
    let rounds = [("ok", &counts.rounds), ("failed", &counts.failures)];
    let suspects = number(counts.suspects.load(Ordering::Relaxed));
    vec![
        Series::counter(
            "plexus_ipam_reconciler_freed",
            "What the reconciler gave back because nobody holds it",
            rows("what", &freed),
        ),
        Series::counter(
            "plexus_ipam_reconciler_rounds",
            "Rounds of the reconciler, by how they ended",
            rows("result", &rounds),
        ),
        Series::gauge(
            "plexus_ipam_reconciler_suspects",
            "What looked like a leak once and waits for a second look",
            vec![(Vec::new(), suspects)],
        ),
        Series::single(
            "plexus_ipam_reconciler_leader",
            "1 on the agent that looks after pods and nodes that are gone",
            counts.is_leader.load(Ordering::Relaxed).into(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_is_told_by_kind() {
        let counts = Counts::default();
        counts.slices.fetch_add(2, Ordering::Relaxed);
        let series = reconciler(&counts);
        assert_eq!(series[0].rows.iter().map(|row| row.1).collect::<Vec<_>>(), [0.0, 0.0, 2.0]);
    }

    #[cfg(feature = "lab")]
    #[test]
    fn pools_are_shown_as_the_last_answer_had_them() {
        use std::time::{Duration, Instant};

        let store = Arc::new(crate::lab::MemoryPools::default());
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::new(Arc::clone(&store) as _, "node".into(), None, dir.path());
        let rows = || classic(&cluster)[..2].iter().map(|series| series.rows.len()).collect::<Vec<_>>();
        assert_eq!(rows(), [0, 0]);
        store.edit(|content| {
            let pool = IpPool { name: "p".into(), range: "10.0.0.0/24".into(), ..IpPool::default() };
            content.pools.insert("p".into(), pool);
        });
        let pool = cluster.pool("p", "10.0.0.0/24".parse().unwrap());
        pool.look(&*cluster.store, None, Instant::now() + Duration::from_secs(10)).unwrap();
        assert_eq!(rows(), [1, 1]);
        assert!((classic(&cluster)[0].rows[0].1 - 254.0).abs() < 1e-9);
    }
}
