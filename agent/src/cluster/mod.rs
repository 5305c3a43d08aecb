//! Which pods and networks exist: a cache that a source fills, and that an ADD reads without asking anybody.
//!
//! ```text
//! manifests ─┐            ┌─ Store<Pod>, Feed ─┐
//!            ├─▶ Catalog ─┤                    ├─▶ ADD
//! kube ──────┘            └─ Store<Nad>, Feed ─┘
//!   └──────────────── Reader: what the cache lacks ─▶
//! ```

mod calls;
mod catalog;
mod changes;
mod feed;
mod files;
mod identity;
mod kube;
mod manifests;
mod pools;
mod store;
mod writer;

pub use self::kube::{ApiError, ApiErrorKind, ApiServer, start};
pub use calls::{Call, Calls};
pub use catalog::{Catalog, Found, Patience, Reader};
pub use changes::Changes;
pub use feed::{Feed, FeedState};
pub use files::{chain_files, network_file};
pub use identity::{PodId, Verdict};
pub use manifests::follow;
pub use pools::{Allocation, IpPool, Lease, LivePod, PoolChange, PoolStore, Reservation, Slice, SlicePool};
pub use store::{Object, Store};
pub use writer::{PodEvent, PodKey, Writer};
