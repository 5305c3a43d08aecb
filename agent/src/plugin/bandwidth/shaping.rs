//! Whether what a pod sends above its limit waits or is dropped.
//!
//! It waits in fq on the interface inside the pod, behind the program that gives each packet its time: a time that is set
//! before the packet crosses into another namespace is lost there. Where the port's own device is the end of a veth on the
//! host, that program stands apart on the pod's end.

use nix::errno::Errno;
use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, Code, json};

use super::PluginCall;
use crate::datapath::ShapeGate;
use crate::netlink::FQ;
use crate::plugin::sandbox::Sandbox;
use crate::record::{PortKind, PortRecord, Shaping};

/// The key in the object `plexus`.
pub(in crate::plugin) const OPTION: &str = "shaping";

/// What the network's config says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Where it can be had.
    Auto,
    /// Or the ADD fails.
    Always,
    /// Not at all.
    Never,
}

impl Choice {
    pub(super) fn of(config: &PluginConfig) -> Result<Self, CniError> {
        let options = json::object(&config.0, "plexus", "bandwidth")?;
        let Some(value) = options.and_then(|options| options.get(OPTION)) else { return Ok(Self::Auto) };
        match value.as_str() {
            Some("auto") => Ok(Self::Auto),
            Some("always") => Ok(Self::Always),
            Some("never") => Ok(Self::Never),
            _ => Err(CniError::new(
                Code::InvalidConfig,
                format!("bandwidth: key \"plexus.{OPTION}\" is {value}"),
            )
            .because("it must be \"auto\" (where fq is), \"always\" or \"never\"")),
        }
    }
}

/// Makes the interface in the pod ready to shape, if it shall and can; the data plane is not told yet.
pub(super) fn prepare(call: &PluginCall<'_>, port: &PortRecord, choice: Choice) -> Result<Shaping, CniError> {
    let policed = |why: &str| Shaping { is_shaped: false, why: why.to_owned() };
    if choice == Choice::Never {
        return Ok(policed("the network's config says so"));
    }
    match place(call, port)? {
        Ok(()) => Ok(Shaping { is_shaped: true, why: "fq is on the interface in the pod".into() }),
        Err(why) if choice == Choice::Auto => Ok(policed(&why)),
        Err(why) => Err(CniError::new(
            Code::UnsupportedField,
            format!("bandwidth: key \"plexus.{OPTION}\" is \"always\""),
        )
        .because(format!("{why}; use \"auto\" to have the limit policed there"))),
    }
}

/// Puts fq on the interface, and, where the port's programs are on the host, the program that gives packets their time; or
/// says why there is none.
fn place(call: &PluginCall<'_>, port: &PortRecord) -> Result<Result<(), String>, CniError> {
    let Some(sandbox) = call.sandbox else {
        return Ok(Err("plexusd cannot enter the pod's network namespace".into()));
    };
    let Some(ifindex) = in_pod(call, port)? else {
        return Ok(Err("the other end of the interface is not in the pod".into()));
    };
    if let Err(why) = place_fq(sandbox, ifindex)? {
        return Ok(Err(why));
    }
    if let Some(gate) = gate(sandbox, port, ifindex) {
        call.agent.datapath.add_shape_gate(&gate)?;
    }
    Ok(Ok(()))
}

fn place_fq(sandbox: &Sandbox, ifindex: u32) -> Result<Result<(), String>, CniError> {
    let Err(error) = sandbox.netlink.add_fq(ifindex) else { return Ok(Ok(())) };
    match error.errno {
        Errno::EEXIST => match sandbox.netlink.root_qdisc(ifindex)? {
            // Somebody else's fq serves as well, and is left as it is.
            Some(root) if root.kind == FQ => Ok(Ok(())),
            Some(root) => Ok(Err(format!("the interface has a qdisc of its own ({})", root.kind))),
            None => Ok(Err("the interface has a qdisc of its own".into())),
        },
        Errno::ENOENT | Errno::EOPNOTSUPP => Ok(Err("this kernel has no fq (CONFIG_NET_SCH_FQ)".into())),
        _ => Err(error.into()),
    }
}

/// The interface's index in the pod: the port's own device, or the peer of its end on the host.
fn in_pod(call: &PluginCall<'_>, port: &PortRecord) -> Result<Option<u32>, CniError> {
    if port.kind == PortKind::PodTap {
        return Ok(Some(port.ifindex));
    }
    Ok(call.host.link_by_index(port.ifindex)?.and_then(|link| link.parent))
}

/// The gate that the interface needs where the port's own device is on the host.
fn gate<'a>(sandbox: &'a Sandbox, port: &PortRecord, ifindex: u32) -> Option<ShapeGate<'a>> {
    (port.kind != PortKind::PodTap).then(|| ShapeGate { port: port.id, ifindex, socket: sandbox.control() })
}

/// Takes away again what is ours; the data plane does not shape any more.
pub(super) fn clear(call: &PluginCall<'_>, port: &PortRecord) -> Result<(), CniError> {
    // With its namespace, or with its move to another one, the device loses its qdisc and its filters.
    let Some((sandbox, ifindex)) = call.sandbox.zip(in_pod(call, port)?) else { return Ok(()) };
    if let Some(gate) = gate(sandbox, port, ifindex) {
        call.agent.datapath.remove_shape_gate(&gate)?;
    }
    sandbox.netlink.remove_fq(ifindex).map_err(Into::into)
}

/// Compares the interface with how the port's limit is kept.
pub(super) fn check(call: &PluginCall<'_>, port: &PortRecord) -> Result<(), CniError> {
    let Some(sandbox) = call.sandbox.filter(|_| port.is_shaped()) else { return Ok(()) };
    let lost = |what: &str, why: &str| {
        Err(CniError::new(Code::CheckFailed, format!("interface {} has lost its {what}", call.ifname))
            .because(format!("{why}; restart the pod")))
    };
    let Some(ifindex) = in_pod(call, port)? else {
        return lost("other end", "something moved or deleted the end on the host or in the pod");
    };
    if sandbox.netlink.root_qdisc(ifindex)?.is_none_or(|root| root.kind != FQ) {
        return lost("fq, and its limit is not shaped", "something in the pod replaced its root qdisc");
    }
    match gate(sandbox, port, ifindex) {
        Some(gate) if !call.agent.datapath.has_shape_gate(&gate)? => {
            lost("shaper", "something in the pod detached its program")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn choice(config: &Value) -> Result<Choice, CniError> {
        Choice::of(&PluginConfig(config.as_object().cloned().unwrap_or_default()))
    }

    #[test]
    fn shaping_is_automatic_unless_said_otherwise() {
        assert_eq!(choice(&json!({})).unwrap(), Choice::Auto);
        assert_eq!(choice(&json!({"plexus": {"exec": false}})).unwrap(), Choice::Auto);
        assert_eq!(choice(&json!({"plexus": {"shaping": "always"}})).unwrap(), Choice::Always);
        assert_eq!(choice(&json!({"plexus": {"shaping": "never"}})).unwrap(), Choice::Never);
        for wrong in [json!(true), json!("sometimes"), json!(null)] {
            let error = choice(&json!({"plexus": {"shaping": wrong}})).unwrap_err();
            assert!(error.msg.contains("plexus.shaping"), "{error}");
        }
    }
}
