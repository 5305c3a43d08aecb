//! IPAM `dhcp` end to end with dnsmasq: shim, agent, kernel, server, each test on a throw-away host.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as tests do")]

mod add;
mod end;
mod node;
mod renew;
mod server;
mod v6;
