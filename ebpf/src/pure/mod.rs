//! What needs no kernel: parsing, anti-spoofing and rate arithmetic over a bounds-checked reader.

pub mod announce;
pub mod arp;
pub mod destination;
pub mod edt;
pub mod ethernet;
pub mod frame;
pub mod gcra;
pub mod guard;
pub mod hop;
pub mod ip;
pub mod nd;
#[cfg(test)]
mod oracle;
pub mod wire;
