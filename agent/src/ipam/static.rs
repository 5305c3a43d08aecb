//! IPAM `static`: the addresses that the config names, or those that the runtime asks for instead.
//!
//! Precedence as in the reference plugin: `runtimeConfig.ips` replaces `args.cni.ips`, which replaces
//! `ipam.addresses` together with the `IP` of `CNI_ARGS`.

use std::net::IpAddr;

use ipnet::IpNet;
use plexus_cni::json::{self, Object};
use plexus_cni::result::{CniResult, Dns, IpConfig};
use plexus_cni::{CniError, Code};
use serde::Deserialize;
use serde_json::Value;

use super::requested::{Requested, split};
use super::{IpamRequest, IpamResult};

/// Most addresses on one interface.
const ADDRESSES_MAX: usize = 256;

#[derive(Deserialize)]
struct Section {
    #[serde(default)]
    addresses: Vec<AddressText>,
    #[serde(default)]
    routes: Vec<Value>,
    #[serde(default)]
    dns: Object,
}

#[derive(Deserialize)]
struct AddressText {
    address: String,
    gateway: Option<String>,
}

/// Reads the config and touches nothing.
pub(super) fn validate(request: &IpamRequest) -> Result<(), CniError> {
    add(request).map(drop)
}

/// The addresses; `static` keeps no state, so ADD is a reading of the config.
pub(super) fn add(request: &IpamRequest) -> Result<IpamResult, CniError> {
    let section: Section = json::typed(request.section()?, "ipam")?;
    let routes = super::routes(&section.routes)?;
    let ips = addresses(request, &section.addresses)?;
    if ips.is_empty() {
        return Err(CniError::new(Code::InvalidConfig, "no address is configured").because(
            "fill ipam.addresses, or request addresses through runtimeConfig.ips, args.cni.ips or IP in CNI_ARGS",
        ));
    }
    if ips.len() > ADDRESSES_MAX {
        return Err(CniError::new(Code::InvalidConfig, format!("ipam.addresses has {} entries", ips.len()))
            .because(format!("at most {ADDRESSES_MAX} are possible")));
    }
    Ok(IpamResult { ips, routes, dns: Dns(section.dns) })
}

/// Every address of the config stands in `prevResult`, with its gateway.
pub(super) fn check(request: &IpamRequest) -> Result<(), CniError> {
    let wanted = add(request)?;
    let previous = request.config.get("prevResult").filter(|value| !value.is_null()).ok_or_else(|| {
        CniError::new(Code::InvalidConfig, "key \"prevResult\" is missing")
            .because("CHECK compares with the result of ADD")
    })?;
    let previous = CniResult::from_value(previous, "prevResult")?;
    for ip in &wanted.ips {
        let found = previous.ips.iter().find(|found| found.address.addr() == ip.address.addr());
        let fail = |what: String| {
            Err(CniError::new(Code::CheckFailed, format!("interface {:?}: {what}", request.ifname))
                .because("the result of ADD and the config differ; attach the pod anew"))
        };
        match found {
            None => return fail(format!("address {} is missing in prevResult", ip.address)),
            Some(found) if ip.gateway.is_some() && ip.gateway != found.gateway => {
                return fail(format!("address {} has another gateway in prevResult", ip.address));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn addresses(request: &IpamRequest, configured: &[AddressText]) -> Result<Vec<IpConfig>, CniError> {
    let requested = Requested::of(request)?;
    let texts = |origin: &str, texts: &[String]| -> Result<Vec<IpConfig>, CniError> {
        texts.iter().enumerate().map(|(at, text)| address(&format!("{origin}[{at}]"), text)).collect()
    };
    if !requested.runtime.is_empty() {
        return texts("runtimeConfig.ips", &requested.runtime);
    }
    if !requested.args.is_empty() {
        return texts("args.cni.ips", &requested.args);
    }
    let mut ips = Vec::new();
    for (at, item) in configured.iter().enumerate() {
        let mut ip = address(&format!("ipam.addresses[{at}].address"), &item.address)?;
        if let Some(text) = item.gateway.as_deref().filter(|text| !text.is_empty()) {
            ip.gateway = Some(gateway(&format!("ipam.addresses[{at}].gateway"), text)?);
        }
        ips.push(ip);
    }
    let mut from_env = texts("IP in CNI_ARGS", &requested.env)?;
    for text in request.args.get("GATEWAY").map(split).unwrap_or_default() {
        let gateway = gateway("GATEWAY in CNI_ARGS", &text)?;
        // Only addresses that came the same way: the config's own keep the config's gateway.
        for ip in from_env.iter_mut().filter(|ip| ip.address.contains(&gateway)) {
            ip.gateway = Some(gateway);
        }
    }
    ips.append(&mut from_env);
    Ok(ips)
}

fn address(field: &str, text: &str) -> Result<IpConfig, CniError> {
    let address: IpNet = text.trim().parse().map_err(|_| {
        CniError::new(Code::InvalidConfig, format!("{field} {text:?} is not an address"))
            .because("write the address with its prefix length, such as 10.0.0.5/24 or fd00::5/64")
    })?;
    Ok(IpConfig { address, gateway: None, interface: None, extra: Object::new() })
}

fn gateway(field: &str, text: &str) -> Result<IpAddr, CniError> {
    text.parse().map_err(|_| {
        CniError::new(Code::InvalidConfig, format!("{field} {text:?} is not an address"))
            .because("write it without a prefix length, such as 10.0.0.1")
    })
}

#[cfg(test)]
mod tests {
    use plexus_cni::args::CniArgs;
    use serde_json::json;

    use super::*;
    use crate::ipam::Ipam;

    fn ask(config: &Value, args: &str) -> Result<IpamResult, CniError> {
        let args = CniArgs::parse(args).unwrap();
        Ipam::Static.add(&crate::ipam::testing::request(config.as_object().unwrap(), &args))
    }

    fn texts(result: &IpamResult) -> Vec<String> {
        result.ips.iter().map(|ip| ip.address.to_string()).collect()
    }

    #[test]
    fn c066_the_runtime_wins_over_args_and_args_win_over_the_config() {
        let mut config = json!({"ipam": {"addresses": [{"address": "10.0.0.5/24", "gateway": "10.0.0.1"}]}});
        let env = "IP=10.0.0.6/24,10.0.1.6/24;GATEWAY=10.0.1.1";
        let result = ask(&config, env).unwrap();
        assert_eq!(texts(&result), ["10.0.0.5/24", "10.0.0.6/24", "10.0.1.6/24"]);
        let gateways: Vec<_> = result.ips.iter().map(|ip| ip.gateway.map(|gw| gw.to_string())).collect();
        assert_eq!(gateways, [Some("10.0.0.1".into()), None, Some("10.0.1.1".into())]);
        config["args"] = json!({"cni": {"ips": ["10.0.0.7/24"]}});
        assert_eq!(texts(&ask(&config, "IP=nonsense").unwrap()), ["10.0.0.7/24"]);
        config["runtimeConfig"] = json!({"ips": ["10.0.0.8/24", "fd00::8/64"]});
        assert_eq!(texts(&ask(&config, env).unwrap()), ["10.0.0.8/24", "fd00::8/64"]);
    }

    #[test]
    fn what_cannot_be_an_address_is_named_with_its_key() {
        for (config, args, named) in [
            (json!({"ipam": {"addresses": [{"address": "10.0.0.5"}]}}), "", "ipam.addresses[0].address"),
            (json!({"ipam": {"addresses": [{"address": "10.0.0.5/33"}]}}), "", "ipam.addresses[0].address"),
            (
                json!({"ipam": {"addresses": [{"address": "10.0.0.5/24", "gateway": "x"}]}}),
                "",
                "addresses[0].gateway",
            ),
            (json!({"ipam": {}, "runtimeConfig": {"ips": ["x"]}}), "", "runtimeConfig.ips[0]"),
            (json!({"ipam": {}}), "IP=10.0.0.1", "IP in CNI_ARGS"),
            (json!({"ipam": {"routes": [{"dst": "10.0.0.0/8", "gw": "x"}]}}), "", "ipam.routes[0]"),
            (json!({"ipam": {}}), "", "no address"),
            (json!({"ipam": 3}), "", "\"ipam\""),
            (json!({}), "", "\"ipam\""),
        ] {
            let error = ask(&config, args).unwrap_err();
            assert_eq!(error.code, Code::InvalidConfig, "{config}");
            assert!(error.msg.contains(named) && error.msg.contains("\"n\""), "{error}");
        }
    }

    #[test]
    fn check_wants_every_configured_address_in_the_result_of_add() {
        let mut config = json!({"ipam": {"addresses": [{"address": "10.0.0.5/24", "gateway": "10.0.0.1"}]}});
        let args = CniArgs::default();
        let mut verdict = |previous: Value| {
            config["prevResult"] = previous;
            let request = crate::ipam::testing::request(config.as_object().unwrap(), &args);
            Ipam::Static.check(&request).map_err(|error| error.code)
        };
        assert_eq!(verdict(Value::Null), Err(Code::InvalidConfig));
        assert_eq!(verdict(json!({"ips": []})), Err(Code::CheckFailed));
        let with = |gateway: &str| json!({"ips": [{"address": "10.0.0.5/24", "gateway": gateway}]});
        assert_eq!(verdict(with("10.0.0.9")), Err(Code::CheckFailed));
        assert_eq!(verdict(with("10.0.0.1")), Ok(()));
    }
}
