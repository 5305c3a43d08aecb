//! Echo requests by iputils' `ping`.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use super::command::run_with_input;
use super::{LabError, NetNs};

/// A ping's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echoes {
    /// Requests sent.
    pub sent: u32,
    /// Answers received.
    pub received: u32,
}

impl Echoes {
    /// Whether every request was answered.
    pub fn all_answered(self) -> bool {
        self.sent > 0 && self.received == self.sent
    }
}

/// Sends `count` echo requests, 50 ms apart, from inside `netns` and waits at most 2 s for the last answer.
pub fn ping(netns: &NetNs, target: IpAddr, count: u32) -> Result<Echoes, LabError> {
    ping_with(netns, &[], target, count)
}

/// [`ping`] that leaves by `source`, an interface or an address of one.
pub fn ping_from(netns: &NetNs, source: &str, target: IpAddr, count: u32) -> Result<Echoes, LabError> {
    ping_with(netns, &["-I", source], target, count)
}

fn ping_with(netns: &NetNs, options: &[&str], target: IpAddr, count: u32) -> Result<Echoes, LabError> {
    let (count, target) = (count.to_string(), target.to_string());
    let finished = netns.within(|| {
        let mut command = Command::new("ping");
        command.args(["-n", "-q", "-i", "0.05", "-W", "2", "-c", &count]).args(options).arg(&target);
        run_with_input(&mut command, b"", Duration::from_mins(1))
    })??;
    parse(&finished.stdout).ok_or_else(|| LabError::Unexpected {
        what: format!("ping {target}"),
        expected: "a summary".into(),
        seen: format!("{}{}", finished.stdout.trim(), finished.stderr.trim()),
    })
}

/// Reads `3 packets transmitted, 2 received, …`; between the two `+1 errors` may stand.
fn parse(output: &str) -> Option<Echoes> {
    let summary = output.lines().find(|line| line.contains("packets transmitted"))?;
    let number = |what: &str| {
        let part = summary.split(',').find(|part| part.contains(what))?;
        part.split_whitespace().next()?.parse().ok()
    };
    Some(Echoes { sent: number("transmitted")?, received: number(" received")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_gives_both_numbers_also_with_errors() {
        let clean = "3 packets transmitted, 3 received, 0% packet loss, time 402ms";
        assert_eq!(parse(clean), Some(Echoes { sent: 3, received: 3 }));
        let poor = "--- x ---\n4 packets transmitted, 1 received, +3 errors, 75% packet loss, time 1ms\n";
        assert_eq!(parse(poor), Some(Echoes { sent: 4, received: 1 }));
        assert_eq!(parse("ping: connect: Network is unreachable"), None);
    }
}
