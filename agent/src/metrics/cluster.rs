//! The cache of pods and networks, and the calls of the API server.

use std::time::Duration;

use super::series::{Labels, Series, number};
use crate::cluster::{Calls, Catalog, FeedState};

/// How full the cache is and how well it follows its source.
pub(super) fn cache(catalog: &Catalog) -> Vec<Series> {
    let kinds = [
        ("pods", catalog.pods.len(), catalog.pods_feed.state()),
        ("nads", catalog.nads.len(), catalog.nads_feed.state()),
    ];
    let kind = |kind: &str| -> Labels { vec![("kind", kind.to_owned())] };
    let each = |value: &dyn Fn(usize, &FeedState) -> Option<f64>| {
        let rows = kinds.iter().filter_map(|(name, len, feed)| Some((kind(name), value(*len, feed)?)));
        rows.collect::<Vec<_>>()
    };
    let yes = |is_so: bool| Some(number(is_so.into()));
    vec![
        Series::gauge(
            "plexus_cache_objects",
            "Objects in the cache of pods and networks",
            each(&|len, _| Some(number(len as u64))),
        ),
        Series::gauge(
            "plexus_cache_age_seconds",
            "Time since the source last said anything",
            each(&|_, feed| feed.heard_ago.as_ref().map(Duration::as_secs_f64)),
        ),
        Series::gauge(
            "plexus_cache_synced",
            "1 once everything was read",
            each(&|_, feed| yes(feed.is_synced)),
        ),
        Series::gauge(
            "plexus_cache_following",
            "1 while changes are heard of as they happen",
            each(&|_, feed| yes(feed.is_following)),
        ),
        Series::counter(
            "plexus_cache_lists",
            "How often everything was read",
            each(&|_, feed| Some(number(feed.lists))),
        ),
        Series::counter(
            "plexus_cache_failures",
            "How often the source failed",
            each(&|_, feed| Some(number(feed.failures))),
        ),
    ]
}

/// Calls by verb, resource and HTTP status; 0 where none came.
pub(super) fn calls(calls: &Calls) -> Series {
    let rows = calls.all().into_iter().map(|(call, count)| {
        let labels = vec![
            ("verb", call.verb.to_owned()),
            ("resource", call.resource.to_owned()),
            ("code", call.code.to_string()),
        ];
        (labels, number(count))
    });
    Series::counter(
        "plexus_api_calls",
        "Calls of the API server, by verb, resource and HTTP status",
        rows.collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_was_never_filled_has_no_age() {
        let catalog = Catalog::default();
        let age = |catalog: &Catalog| cache(catalog)[1].rows.len();
        assert_eq!(age(&catalog), 0);
        catalog.pods_feed.listed();
        assert_eq!(age(&catalog), 1);
    }

    #[test]
    fn calls_are_told_apart_by_verb_resource_and_code() {
        let counts = Calls::default();
        counts.count("get", "pods", 200);
        counts.count("get", "pods", 200);
        counts.count("get", "pods", 404);
        let series = calls(&counts);
        assert_eq!(series.rows.iter().map(|row| row.1).collect::<Vec<_>>(), [2.0, 1.0]);
    }
}
