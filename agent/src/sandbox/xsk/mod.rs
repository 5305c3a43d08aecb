//! AF_XDP sockets: frames past the network stack, by memory that kernel and process share. Only the benchmarks use them.
//!
//! ```text
//!   sender     frame ──▶ memory ──TX ring──▶ kernel copies it ──▶ device;   COMPLETION ring gives the room back
//!   receiver   device ──▶ XDP program ──▶ kernel copies it ──RX ring──▶ each frame;   FILL ring gives the room back
//! ```
//! Always in copy mode: any device can send so, and any with an XDP program receive. The rings and the memory are the crate
//! `xdp`'s; each is of a fixed size, and what finds no room is counted.

mod error;
mod open;
mod receiver;
mod sender;

pub use error::XskError;
pub use open::XSK_FRAME_BYTES_MAX;
pub use receiver::{XSK_QUEUES_MAX, XskReceiver};
pub use sender::XskSender;
