//! The demo's report; docs/reports.md fixes its shape.

use serde::Serialize;

use crate::environment::Environment;
use crate::screen::Screen;

/// What was done and seen.
#[derive(Debug, Serialize)]
pub(super) struct DemoReport {
    pub(super) bench: &'static str,
    pub(super) environment: Environment,
    /// Whether every expectation held.
    pub(super) ok: bool,
    /// Expectations that did not hold.
    pub(super) failures: Vec<String>,
    pub(super) elapsed_s: f64,
    pub(super) pods: Vec<PodReport>,
    /// Whether every echo request of every pair was answered; false if none was sent.
    pub(super) pings_ok: bool,
    pub(super) pings: Vec<PingReport>,
    /// Datagrams that arrived in the forwarding act.
    pub(super) forwarded_packets: u64,
    pub(super) flows: Vec<FlowLine>,
    /// Bytes per second that one TCP connection moved through the policed fastpath network, times 8.
    pub(super) tcp_goodput_bps: Option<f64>,
    /// The limit of what a pod receives, pod to pod.
    pub(super) policer: Option<PolicerReport>,
    /// The limit of what a pod sends, pod to outside.
    pub(super) policer_egress: Option<PolicerReport>,
    pub(super) restart: Option<RestartReport>,
    pub(super) leftovers: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct PodReport {
    pub(super) name: String,
    pub(super) namespace: String,
    /// From the start of the shim to its end.
    pub(super) add_ms: f64,
    pub(super) interfaces: Vec<InterfaceReport>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct InterfaceReport {
    pub(super) name: String,
    pub(super) network: String,
    pub(super) ips: Vec<String>,
    pub(super) mac: String,
}

#[derive(Debug, Serialize)]
pub(super) struct PingReport {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) network: String,
    pub(super) sent: u32,
    pub(super) received: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct FlowLine {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) network: String,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to the names of the report's keys")]
pub(super) struct PolicerReport {
    /// As the agent enforces it.
    pub(super) configured_bps: u64,
    /// Ethernet frames without FCS that arrived, after the burst was used up.
    pub(super) measured_bps: f64,
    /// What was sent.
    pub(super) offered_bps: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct RestartReport {
    pub(super) sent: u64,
    pub(super) lost: u64,
    /// From SIGKILL to the first answer of the new plexusd.
    pub(super) agent_down_ms: f64,
    /// From the start of the new plexusd to its first answer.
    pub(super) start_ms: f64,
}

impl DemoReport {
    pub(super) fn new() -> Self {
        Self {
            bench: "demo",
            environment: Environment::look(),
            ok: false,
            failures: Vec::new(),
            elapsed_s: 0.0,
            pods: Vec::new(),
            pings_ok: false,
            pings: Vec::new(),
            forwarded_packets: 0,
            flows: Vec::new(),
            tcp_goodput_bps: None,
            policer: None,
            policer_egress: None,
            restart: None,
            leftovers: Vec::new(),
        }
    }

    /// Takes over the verdict.
    pub(super) fn end(&mut self, screen: &Screen) {
        self.failures = screen.failures().to_vec();
        self.ok = self.failures.is_empty();
        self.elapsed_s = screen.elapsed().as_secs_f64();
    }
}
