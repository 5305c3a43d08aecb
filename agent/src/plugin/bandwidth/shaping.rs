//! Whether what a pod sends above its limit waits or is dropped.
//!
//! It waits in fq on the device inside the pod, behind the program that gives each packet its time: a time that is set
//! before the packet crosses into another namespace is lost there.

use nix::errno::Errno;
use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, Code, json};

use super::PluginCall;
use crate::netlink::FQ;
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

/// Makes the port's device ready to shape, if it shall and can; the data plane is not told yet.
pub(super) fn prepare(call: &PluginCall<'_>, port: &PortRecord, choice: Choice) -> Result<Shaping, CniError> {
    let policed = |why: &str| Shaping { is_shaped: false, why: why.to_owned() };
    if choice == Choice::Never {
        return Ok(policed("the network's config says so"));
    }
    match place_fq(call, port)? {
        Ok(()) => Ok(Shaping { is_shaped: true, why: "fq is on the interface in the pod".into() }),
        Err(why) if choice == Choice::Auto => Ok(policed(&why)),
        Err(why) => Err(CniError::new(
            Code::UnsupportedField,
            format!("bandwidth: key \"plexus.{OPTION}\" is \"always\""),
        )
        .because(format!("{why}; use \"auto\" to have the limit policed there"))),
    }
}

/// Puts fq on the device, or says why there is none.
fn place_fq(call: &PluginCall<'_>, port: &PortRecord) -> Result<Result<(), String>, CniError> {
    if port.kind != PortKind::PodTap {
        return Ok(Err("it stands at the host's end of the interface, where nothing can wait".into()));
    }
    let Some(sandbox) = call.sandbox else {
        return Ok(Err("plexusd cannot enter the pod's network namespace".into()));
    };
    let Err(error) = sandbox.netlink.add_fq(port.ifindex) else { return Ok(Ok(())) };
    match error.errno {
        Errno::EEXIST => match sandbox.netlink.root_qdisc(port.ifindex)? {
            // Somebody else's fq serves as well, and is left as it is.
            Some(root) if root.kind == FQ => Ok(Ok(())),
            Some(root) => Ok(Err(format!("the interface has a qdisc of its own ({})", root.kind))),
            None => Ok(Err("the interface has a qdisc of its own".into())),
        },
        Errno::ENOENT | Errno::EOPNOTSUPP => Ok(Err("this kernel has no fq (CONFIG_NET_SCH_FQ)".into())),
        _ => Err(error.into()),
    }
}

/// Takes fq away again, if it is ours; the data plane does not shape any more.
pub(super) fn clear(call: &PluginCall<'_>, port: &PortRecord) -> Result<(), CniError> {
    match call.sandbox.filter(|_| port.kind == PortKind::PodTap) {
        Some(sandbox) => sandbox.netlink.remove_fq(port.ifindex).map_err(Into::into),
        // With its namespace, or with its move to another one, the device loses its qdisc.
        None => Ok(()),
    }
}

/// Compares the device with how the port's limit is kept.
pub(super) fn check(call: &PluginCall<'_>, port: &PortRecord) -> Result<(), CniError> {
    let Some(sandbox) = call.sandbox.filter(|_| port.is_shaped()) else { return Ok(()) };
    match sandbox.netlink.root_qdisc(port.ifindex)? {
        Some(root) if root.kind == FQ => Ok(()),
        _ => Err(CniError::new(
            Code::CheckFailed,
            format!("interface {} has lost its fq, and its limit with it", call.ifname),
        )
        .because("something in the pod replaced its root qdisc; restart the pod")),
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
