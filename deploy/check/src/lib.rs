//! The chart in `deploy/helm/plexus`: rendering it to `deploy/manifests`, and checking what comes out.

pub mod checkout;
pub mod helm;
pub mod manifest;
pub mod render;
pub mod schema;
