//! What a config asks of the data plane: routes, the interfaces that they lead over, and where they are looked up.

use std::net::IpAddr;

use ipnet::IpNet;
use plexus_abi::MAX_ROUTE_DEVICES;
use plexus_cni::config::PluginConfig;
use plexus_cni::json;
use plexus_cni::name::check_ifname;
use plexus_cni::result::IpConfig;
use plexus_cni::{CniError, Code};
use serde::Deserialize;
use serde_json::Value;

use super::config::Config;
use crate::datapath::{RouteHop, RouteSpec};
use crate::plugin::address::with_gateway;

/// Key of the object `plexus`: routes beyond those of the standard keys.
pub(in crate::plugin) const ROUTES: &str = "routes";
/// Key of the object `plexus`: the interfaces whose packets are looked up.
pub(in crate::plugin) const FROM: &str = "from";
/// Most prefixes of one table.
pub(super) const PREFIXES_MAX: usize = 131_072;
/// Most interfaces whose packets are looked up.
const FROM_MAX: usize = 16;

/// The table as the data plane takes it. Devices of its hops are numbered: 0 is the interface itself, 1 the first of
/// `devices`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wish {
    /// Of several routes to one prefix the last counts.
    pub(super) routes: Vec<RouteSpec>,
    /// The other interfaces that routes name.
    pub(super) devices: Vec<String>,
    /// The interfaces whose packets are looked up, where the config says it.
    pub(super) from: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dst: Destinations,
    gw: Option<IpAddr>,
    dev: Option<String>,
    #[serde(rename = "type", default)]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Destinations {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Unicast,
    Blackhole,
    Pass,
}

impl Wish {
    /// The routes of `delroutes`, `addroutes` and `plexus.routes`, in this order; `ips` are the chain's addresses, whose
    /// gateways serve routes that name none.
    pub(super) fn of(config: &PluginConfig, keys: &Config, ips: &[IpConfig]) -> Result<Self, CniError> {
        let mut wish = Self::default();
        let passing = keys.del_routes.iter().map(|dst| RouteSpec { dst: *dst, hop: RouteHop::Pass });
        wish.routes.extend(passing);
        for route in &keys.add_routes {
            let gateway = with_gateway(route, ips).gw;
            wish.push(route.dst, unicast(gateway, 0), "addroutes")?;
        }
        let Some(options) = json::object(&config.0, "plexus", "route-override")? else { return Ok(wish) };
        for (at, value) in list(options.get(ROUTES), ROUTES)?.iter().enumerate() {
            wish.read(value, &format!("plexus.routes[{at}]"), ips)?;
        }
        if options.get(FROM).is_some_and(|value| !value.is_null()) {
            wish.from = Some(names(options.get(FROM))?);
        }
        Ok(wish)
    }

    fn read(&mut self, value: &Value, place: &str, ips: &[IpConfig]) -> Result<(), CniError> {
        let entry: Entry = serde_json::from_value(value.clone()).map_err(|error| {
            wrong(place, value, &format!("{error}; it must be {{\"dst\", \"gw\", \"dev\", \"type\"}}"))
        })?;
        let is_unicast = entry.kind == Kind::Unicast;
        if !is_unicast && (entry.gw.is_some() || entry.dev.is_some()) {
            return Err(wrong(
                place,
                value,
                "a route of type blackhole or pass has neither \"gw\" nor \"dev\"",
            ));
        }
        let device = entry.dev.as_deref().map_or(Ok(0), |name| self.device(name, place))?;
        let destinations = match &entry.dst {
            Destinations::One(dst) => std::slice::from_ref(dst),
            Destinations::Many(all) => all,
        };
        for text in destinations {
            let dst: IpNet = text
                .parse()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| wrong(place, &Value::from(&**text), "it is no prefix such as 10.0.0.0/8"))?;
            let gateway = match (entry.gw, &entry.dev) {
                // On the interface itself as with addroutes; on another one the destination is on the link.
                (None, None) => with_gateway(&plexus_cni::result::Route::new(dst, None), ips).gw,
                (gateway, _) => gateway,
            };
            let hop = match entry.kind {
                Kind::Unicast => unicast(gateway, device),
                Kind::Blackhole => RouteHop::Blackhole,
                Kind::Pass => RouteHop::Pass,
            };
            self.push(dst, hop, place)?;
        }
        Ok(())
    }

    fn push(&mut self, dst: IpNet, hop: RouteHop, place: &str) -> Result<(), CniError> {
        let text = Value::from(dst.to_string());
        if let RouteHop::Gateway { gateway, .. } = hop
            && dst.addr().is_ipv6()
            && gateway.is_ipv4()
        {
            return Err(wrong(place, &text, &format!("IPv6 has no way through the IPv4 gateway {gateway}")));
        }
        if self.routes.len() >= PREFIXES_MAX {
            return Err(wrong(place, &text, &format!("at most {PREFIXES_MAX} prefixes are allowed")));
        }
        self.routes.push(RouteSpec { dst: dst.trunc(), hop });
        Ok(())
    }

    /// The number of an interface; a new one for a new name.
    fn device(&mut self, name: &str, place: &str) -> Result<u8, CniError> {
        check_ifname(name, "route-override: plexus.routes: key \"dev\"")
            .map_err(|error| CniError { code: Code::InvalidConfig, ..error })?;
        let at = self.devices.iter().position(|known| known == name).unwrap_or_else(|| {
            self.devices.push(name.to_owned());
            self.devices.len() - 1
        });
        u8::try_from(at + 1).ok().filter(|at| usize::from(*at) < MAX_ROUTE_DEVICES).ok_or_else(|| {
            let why = format!("routes may name {} other interfaces", MAX_ROUTE_DEVICES - 1);
            wrong(place, &Value::from(name), &why)
        })
    }
}

fn unicast(gateway: Option<IpAddr>, device: u8) -> RouteHop {
    match gateway {
        Some(gateway) => RouteHop::Gateway { gateway, device },
        None => RouteHop::OnLink { device },
    }
}

fn names(value: Option<&Value>) -> Result<Vec<String>, CniError> {
    let list = list(value, FROM)?;
    if list.len() > FROM_MAX {
        return Err(wrong(
            "plexus.from",
            &Value::from(list.len()),
            &format!("at most {FROM_MAX} are allowed"),
        ));
    }
    let name = |value: &Value| {
        let name =
            value.as_str().ok_or_else(|| wrong("plexus.from", value, "it must be an interface's name"))?;
        check_ifname(name, "route-override: plexus.from")
            .map_err(|error| CniError { code: Code::InvalidConfig, ..error })?;
        Ok(name.to_owned())
    };
    list.iter().map(name).collect()
}

fn list<'a>(value: Option<&'a Value>, key: &str) -> Result<&'a [Value], CniError> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(wrong(&format!("plexus.{key}"), other, "it must be a list")),
    }
}

fn wrong(place: &str, value: &Value, why: &str) -> CniError {
    CniError::new(Code::InvalidConfig, format!("route-override: {place} is {value}")).because(why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Wish, CniError> {
        let Value::Object(object) = value else { unreachable!("tests pass objects") };
        let config = PluginConfig(object);
        Wish::of(&config, &Config::of(&config)?, &[])
    }

    fn routes(routes: &Value) -> Result<Wish, CniError> {
        read(json!({"type": "route-override", "dataplane": true, "plexus": {"routes": routes}}))
    }

    fn spec(dst: &str, hop: RouteHop) -> RouteSpec {
        RouteSpec { dst: dst.parse().unwrap(), hop }
    }

    #[test]
    fn standard_keys_come_first_and_what_is_deleted_is_an_exception() {
        let wish = read(json!({
            "type": "route-override", "dataplane": true,
            "addroutes": [{"dst": "10.1.2.3/8", "gw": "10.9.0.1"}, {"dst": "fd00::/8"}],
            "delroutes": [{"dst": "10.7.0.0/16"}],
            "plexus": {"routes": [{"dst": "192.0.2.1", "type": "blackhole"}], "from": ["eth0"]},
        }));
        let gateway = RouteHop::Gateway { gateway: "10.9.0.1".parse().unwrap(), device: 0 };
        let expected = Wish {
            routes: vec![
                spec("10.7.0.0/16", RouteHop::Pass),
                spec("10.0.0.0/8", gateway),
                spec("fd00::/8", RouteHop::OnLink { device: 0 }),
                spec("192.0.2.1/32", RouteHop::Blackhole),
            ],
            devices: Vec::new(),
            from: Some(vec!["eth0".into()]),
        };
        assert_eq!(wish.unwrap(), expected);
    }

    #[test]
    fn one_entry_may_have_many_prefixes_and_interfaces_are_numbered_by_name() {
        let wish = routes(&json!([
            {"dst": ["10.0.0.0/8", "fd00::/8"], "dev": "net2"},
            {"dst": "10.1.0.0/16", "dev": "net3", "gw": "10.3.0.1"},
            {"dst": "10.2.0.0/16", "dev": "net2", "type": "unicast"},
            {"dst": "10.3.0.0/16", "type": "pass"},
        ]))
        .unwrap();
        assert_eq!(wish.devices, ["net2", "net3"]);
        let gateway = RouteHop::Gateway { gateway: "10.3.0.1".parse().unwrap(), device: 2 };
        let on_link = RouteHop::OnLink { device: 1 };
        let hops: Vec<RouteHop> = wish.routes.iter().map(|route| route.hop).collect();
        assert_eq!(hops, [on_link, on_link, gateway, on_link, RouteHop::Pass]);
    }

    #[test]
    fn a_route_that_cannot_be_is_refused_with_its_place() {
        for entry in [
            json!({}),
            json!({"dst": "10.0.0.0/33"}),
            json!({"dst": "10.0.0.0/8", "via": "10.0.0.1"}),
            json!({"dst": "10.0.0.0/8", "type": "prohibit"}),
            json!({"dst": "10.0.0.0/8", "type": "blackhole", "dev": "net1"}),
            json!({"dst": "fd00::/8", "gw": "10.0.0.1"}),
            json!({"dst": "10.0.0.0/8", "dev": "../eth0"}),
        ] {
            let error = routes(&json!([entry])).unwrap_err();
            assert!(error.code == Code::InvalidConfig && error.msg.contains("plexus.routes"), "{error}");
        }
        let many: Vec<Value> = (0..MAX_ROUTE_DEVICES)
            .map(|at| json!({"dst": "10.0.0.0/8", "dev": format!("net{at}")}))
            .collect();
        assert_eq!(routes(&Value::from(many)).unwrap_err().code, Code::InvalidConfig);
        let error = read(json!({"type": "route-override", "dataplane": true, "plexus": {"from": "eth0"}}));
        assert!(error.unwrap_err().msg.contains("plexus.from"));
    }
}
