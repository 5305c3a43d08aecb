//! The sender: runs the scenario and reports.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::control::{Answer, Control, Request};
use super::{ECHO_PORT, interface};
use crate::args::PairOptions;
use crate::packets::echo;
use crate::packets::end::End;
use crate::packets::frame::udp_to_port;
use crate::publish::publish;
use crate::report::BenchReport;
use crate::scenario::file::{Direction, GeneratorKind, Scenario};
use crate::scenario::measure::{self, Lanes};
use crate::scenario::socket::Outlet;
use crate::scenario::stamp::STAMPED;
use crate::scenario::transmit::{Load, transmit};
use crate::scenario::trial::{LIMIT, Outcome, joined};
use crate::scenario::{read, topology};
use crate::screen::Screen;

/// One attempt to reach the receiver, and the pause before the next one.
const ATTEMPT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(500);

/// Measures, shows the figures and writes the report.
pub(super) fn measure(options: &PairOptions, screen: &Screen) -> Result<ExitCode> {
    let path = options.scenario.as_deref().context("a sender needs a scenario")?;
    let address = options.connect.context("a sender needs --connect")?;
    let scenario = read(path)?;
    ensure!(
        scenario.generator == GeneratorKind::AfPacket && scenario.direction == Direction::Forward,
        "{}: a pair sends by af-packet, and forward; start it the other way round for backward",
        path.display()
    );
    let from = interface(&options.interface)?;
    let mut control = connect(address, Duration::from_secs(options.idle_s))?;
    let Answer::Station { mac, ip } = control.ask(Request::Station)? else {
        bail!("the receiver does not say who it is")
    };
    let to = End { mac, ip, ..from.clone() };
    let mut report = BenchReport::begin("pair");
    screen.heading(&scenario.name);
    conditions(&scenario, &from, &to, &mut report);
    let control = RefCell::new(control);
    let run = |bytes, load| Ok(vec![trial(&mut control.borrow_mut(), &from, &to, bytes, load)?]);
    let link_bps = topology::speed_bps(&from.device);
    let lanes = Lanes { names: vec!["forward"], latency: "round_trip", link_bps, run: &run };
    measure::scenario(&scenario, &lanes, screen, &mut report)?;
    publish(&report, options.report.as_deref(), options.html.as_deref(), screen)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for a receiver that may start later.
fn connect(address: SocketAddr, patience: Duration) -> Result<Control> {
    let started = Instant::now();
    loop {
        match TcpStream::connect_timeout(&address, ATTEMPT) {
            Ok(stream) => return Control::new(stream),
            Err(error) if started.elapsed() >= patience => {
                return Err(error).with_context(|| format!("no receiver answers at {address}"));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn trial(control: &mut Control, from: &End, to: &End, bytes: usize, load: Load) -> Result<Outcome> {
    let limit_ms = u32::try_from((load.duration + LIMIT).as_millis()).context("the trial is too long")?;
    let Answer::Ready = control.ask(Request::Receive { trial: load.trial, limit_ms })? else {
        bail!("the receiver is not ready")
    };
    let mut outlet = Outlet::packet(&from.device)
        .with_context(|| format!("cannot send frames on {} (CAP_NET_RAW is needed)", from.device))?;
    let asking =
        UdpSocket::bind(from.at(0)).with_context(|| format!("cannot bind an address of {}", from.device))?;
    let frame = udp_to_port(from, to, STAMPED, bytes);
    let (sent, round_trips) = thread::scope(|scope| {
        let asking =
            scope.spawn(|| echo::ask_datagrams(&asking, to.at(ECHO_PORT), Instant::now() + load.duration));
        let sending = scope.spawn(|| transmit(&mut outlet, &frame, &load));
        Ok::<_, anyhow::Error>((joined(sending)?, joined(asking)?))
    })?;
    let Answer::Received { packets, reordered, found_no_room, cpu_ns } = control.ask(Request::Finish)? else {
        bail!("the receiver does not say what came")
    };
    Ok(Outcome {
        sent: sent.packets,
        received: packets,
        elapsed: sent.elapsed,
        latency: round_trips.nanoseconds,
        reordered,
        found_no_room,
        sender_cpu: sent.cpu,
        receiver_cpu: Some(Duration::from_nanos(cpu_ns)),
    })
}

fn conditions(scenario: &Scenario, from: &End, to: &End, report: &mut BenchReport) {
    report.conditions.extend([
        ("scenario", json!(scenario)),
        ("generator", json!("AF_PACKET past the queueing discipline, up to 32 frames in one call")),
        ("round_trip", json!("a datagram there and back every 2 ms beside the load, UDP sockets at both ends; the clock of the sender")),
        ("cpu", json!("CPU time of the sending, or the receiving, thread per packet, with soft interrupts that it is charged with")),
        ("from", json!(format!("{} {}", from.device, from.ip))),
        ("to", json!(to.ip)),
        ("environment", json!("of the sender")),
    ]);
}
