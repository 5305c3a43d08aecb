//! The shim that the container runtime executes.

fn main() {}
