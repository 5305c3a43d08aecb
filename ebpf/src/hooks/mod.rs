//! Entry points: one file per hook, each one expression.
#![allow(clippy::needless_pass_by_value, reason = "the entry point macros hand the context over by value")]

mod edge_pop;
mod edge_push;
mod learning_gate;
mod netkit_gate;
mod netkit_learning;
mod netkit_learning_gate;
mod netkit_tx;
mod port_gate;
mod port_learning;
mod port_routing;
mod port_tc;
mod route;
mod route_gate;
mod routing_gate;
mod shape;
mod shape_gate;
mod tap_rx;
mod tap_rx_gate;
mod tap_tx;
mod tap_tx_gate;
mod uplink_gate;
mod uplink_tc;
mod uplink_xdp;
