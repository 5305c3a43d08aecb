//! Following one kind: a list in pages, then a watch from there, for ever.
//!
//! ```text
//!   ┌──────── 410, or no version ────────┐
//!   ▼                                    │
//!  list ──▶ watch from its version ──────┤
//!              ▲                         │
//!              └── ended, or broken off ─┘  (after a pause if it failed)
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kube::api::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};

use super::backoff::Backoff;
use super::error::{ApiError, ApiErrorKind};
use super::kind::{Kind, Page};
use super::session::{Session, Target};
use crate::cluster::{Catalog, Feed, Store};

/// One page of a list must be there within this time.
const PAGE_WAIT: Duration = Duration::from_mins(1);
/// Most pages of one list: as many as the cache has places for, and some.
const PAGES_MAX: usize = 1000;
/// A watch must begin within this time; servers hold it back while their own caches fill.
const BEGIN_WAIT: Duration = Duration::from_secs(45);
/// The server ends each watch after this time. A connection that died without a word is noticed then.
const WATCH_S: u32 = 120;
/// That time differs by up to this much, so that nodes which began together do not stay together.
const WATCH_SPREAD_S: u32 = 60;
/// How much later the client ends it.
const WATCH_GRACE: Duration = Duration::from_secs(10);
/// A watch that is ended sooner than this, having said nothing, has failed.
const SHORT: Duration = Duration::from_secs(1);

/// Follows one kind for ever; what is wrong with the source is in its feed and, when it is new, in the log.
pub(super) async fn follow<T: Kind>(session: Arc<Session>, catalog: Arc<Catalog>, selector: Option<String>) {
    let (store, feed) = T::place(&catalog);
    let follower = Follower { session, selector, store, feed };
    let mut backoff = Backoff::default();
    let mut version = None;
    loop {
        if let Err(error) = follower.round(&mut version, &mut backoff).await {
            if feed.failed(error.to_string()) {
                tracing::warn!(%error, advice = error.advice(), "the cluster cannot be followed now");
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }
}

struct Follower<'a, T> {
    session: Arc<Session>,
    selector: Option<String>,
    store: &'a Store<T>,
    feed: &'a Feed,
}

impl<T: Kind> Follower<'_, T> {
    /// One list, if there is no version to go on from, and one watch.
    async fn round(&self, version: &mut Option<String>, backoff: &mut Backoff) -> Result<(), ApiError> {
        if version.is_none() {
            *version = Some(self.list(T::FIRST_FROM_CACHE && !self.feed.state().is_synced).await?);
            backoff.reset();
        }
        let outcome = self.watch(version, backoff).await;
        match outcome {
            Err(error) if error.kind == ApiErrorKind::Expired => {
                tracing::info!(resource = T::RESOURCE, "the watch fell behind; everything is read again");
                *version = None;
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Reads everything, page by page, and replaces what the cache has; the version to watch from.
    async fn list(&self, from_cache: bool) -> Result<String, ApiError> {
        let target = Target { verb: "list", resource: T::RESOURCE };
        let mut params = ListParams {
            field_selector: self.selector.clone(),
            // The server's cache gives no pages, and the client library leaves the version out where there is a limit.
            limit: (!from_cache).then_some(T::PAGE),
            resource_version: from_cache.then(|| "0".to_owned()),
            ..ListParams::default()
        };
        let mut objects = Vec::new();
        for _ in 0..PAGES_MAX {
            let request = Request::new(T::path(None)).list(&params);
            let page: Page<T> = self.session.send(target, request, PAGE_WAIT).await?;
            // One more than there is a place for, so that the store says aloud that it is full.
            let room = (T::OBJECTS_MAX + 1).saturating_sub(objects.len());
            objects.extend(page.items.unwrap_or_default().into_iter().take(room));
            // The token holds the version.
            params.resource_version = None;
            params.continue_token = page.metadata.more.filter(|token| !token.is_empty());
            if params.continue_token.is_some() {
                continue;
            }
            let version = page.metadata.resource_version.filter(|version| !version.is_empty());
            let version = version.ok_or_else(|| ApiError::without_version("list", T::RESOURCE))?;
            self.store.replace(objects);
            self.feed.listed();
            tracing::info!(resource = T::RESOURCE, objects = self.store.len(), "read from the API server");
            return Ok(version);
        }
        Err(ApiError::endless("list", T::RESOURCE))
    }

    /// Watches until the server ends it; `version` follows what was seen.
    async fn watch(&self, version: &mut Option<String>, backoff: &mut Backoff) -> Result<(), ApiError> {
        let target = Target { verb: "watch", resource: T::RESOURCE };
        let length_s = WATCH_S + backoff.chance(WATCH_SPREAD_S);
        let params = WatchParams {
            field_selector: self.selector.clone(),
            timeout: Some(length_s),
            ..WatchParams::default()
        };
        let begun = Instant::now();
        let client = self.session.client();
        let request = Request::new(T::path(None))
            .watch(&params, version.as_deref().unwrap_or_default())
            .map_err(|error| ApiError::unreadable(target.verb, target.resource, &error))?;
        let stream = tokio::time::timeout(BEGIN_WAIT, client.request_events::<T>(request)).await;
        let mut events = Box::pin(self.session.judge(target, stream).await?);
        self.feed.heard();
        let idle = Duration::from_secs(length_s.into()) + WATCH_GRACE;
        let mut is_silent = true;
        loop {
            let event = match tokio::time::timeout(idle, events.next()).await {
                Ok(Some(event)) => {
                    event.map_err(|error| ApiError::of_client(target.verb, target.resource, &error))?
                }
                // The server ended it, or the connection is dead: go on from where it was.
                Ok(None) if is_silent && begun.elapsed() < SHORT => {
                    return Err(ApiError::cut_short(target.verb, target.resource));
                }
                Ok(None) | Err(_) => return Ok(()),
            };
            *version = Some(self.take(event)?).filter(|version| !version.is_empty());
            is_silent = false;
            backoff.reset();
            self.feed.heard();
        }
    }

    /// Does what an event says; the version that it brings the cache to.
    fn take(&self, event: WatchEvent<T>) -> Result<String, ApiError> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = object.resource_version().to_owned();
                self.store.apply(object);
                Ok(version)
            }
            WatchEvent::Deleted(object) => {
                self.store.delete(object.namespace(), object.name());
                Ok(object.resource_version().to_owned())
            }
            WatchEvent::Bookmark(bookmark) => Ok(bookmark.metadata.resource_version),
            WatchEvent::Error(status) => Err(ApiError::of_status("watch", T::RESOURCE, &status)),
        }
    }
}
