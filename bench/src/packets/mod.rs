//! Packets made and counted in the kernel: what `forward` and `police` share.

pub(crate) mod alone;
pub(crate) mod cpu;
pub(crate) mod echo;
pub(crate) mod end;
pub(crate) mod forwarder;
pub(crate) mod frame;
pub(crate) mod generator;
mod object;
pub(crate) mod sink;
pub(crate) mod statistics;
pub(crate) mod wiring;
pub(crate) mod xsk;
