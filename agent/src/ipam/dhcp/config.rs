//! What a config wishes of the server.

use plexus_cni::json;
use plexus_cni::{CniError, Code};
use serde::{Deserialize, Serialize};

use super::family::Family;
use crate::ipam::IpamRequest;

/// Names of options that the reference plugin knows; others are written as numbers.
const NAMES: [(&str, u8); 6] = [
    ("dhcp-client-identifier", 61),
    ("subnet-mask", 1),
    ("routers", 3),
    ("host-name", 12),
    ("user-class", 77),
    ("vendor-class-identifier", 60),
];
/// Options that are requested unless `skipDefault` is set: subnet mask, routers, classless and static routes.
const REQUESTED: [u8; 4] = [1, 3, 121, 33];
/// Options for name servers, requested beside: domain name server, domain name, domain search.
const NAME_SERVICE: [u8; 3] = [6, 15, 119];
/// Options that the protocol itself fills in: padding, address, message type, server, list of options, size, end.
const OF_THE_PROTOCOL: [u8; 7] = [0, 50, 53, 54, 55, 57, 255];
/// Most bytes of an option's value.
const VALUE_BYTES_MAX: usize = 255;
/// Most entries in either list.
const ENTRIES_MAX: usize = 64;
/// Most bytes of all provided values: the whole message has to fit into one packet.
const VALUES_BYTES_MAX: usize = 900;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Section {
    #[serde(default)]
    provide: Vec<Provide>,
    #[serde(default)]
    request: Vec<Request>,
    #[serde(default)]
    priority: u32,
    #[serde(default)]
    plexus: Own,
}

/// What the reference plugin has not.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    families: Option<Vec<Family>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provide {
    option: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    from_arg: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    skip_default: bool,
    #[serde(default)]
    option: String,
}

/// What the server is told and asked beside the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wishes {
    /// Options sent, by number.
    pub provide: Vec<(u8, Vec<u8>)>,
    /// Options asked for, by number.
    pub request: Vec<u8>,
    /// Metric of the routes; 0 leaves it to the kernel.
    pub priority: u32,
    /// Kinds of addresses, each once.
    pub families: Vec<Family>,
}

impl Wishes {
    /// Reads the section `ipam`; the error names the key.
    pub fn of(request: &IpamRequest) -> Result<Self, CniError> {
        let section: Section = json::typed(request.section()?, "ipam")?;
        for (key, length) in [("provide", section.provide.len()), ("request", section.request.len())] {
            if length > ENTRIES_MAX {
                return Err(wrong(format!("ipam.{key} has {length} entries"))
                    .because(format!("at most {ENTRIES_MAX} are possible")));
            }
        }
        let mut families = section.plexus.families.unwrap_or_else(|| vec![Family::Ipv4]);
        families.sort_unstable();
        families.dedup();
        if families.is_empty() {
            return Err(wrong("ipam.plexus.families is empty".into()).because("write ipv4, ipv6 or both"));
        }
        let mut wishes = Self { priority: section.priority, families, ..Self::default() };
        for (at, item) in section.provide.iter().enumerate() {
            let key = format!("ipam.provide[{at}]");
            let option = number(&item.option, &key)?;
            if OF_THE_PROTOCOL.contains(&option) {
                return Err(wrong(format!("{key}.option {:?} cannot be provided", item.option))
                    .because("the protocol itself fills it in"));
            }
            let argument = Some(&*item.from_arg).filter(|name| !name.is_empty());
            let argument = argument.and_then(|name| request.args.get(name));
            let Some(value) = argument.or(Some(&*item.value)).filter(|value| !value.is_empty()) else {
                continue;
            };
            if value.len() > VALUE_BYTES_MAX {
                return Err(wrong(format!("{key}: the value has {} bytes", value.len()))
                    .because(format!("an option has at most {VALUE_BYTES_MAX}")));
            }
            wishes.provide.retain(|(known, _)| *known != option);
            wishes.provide.push((option, value.as_bytes().to_vec()));
        }
        let bytes: usize = wishes.provide.iter().map(|(_, value)| value.len() + 2).sum();
        if bytes > VALUES_BYTES_MAX {
            return Err(wrong(format!("ipam.provide has {bytes} bytes"))
                .because(format!("at most {VALUES_BYTES_MAX} fit into a message")));
        }
        let skips_defaults = section.request.iter().any(|item| item.skip_default);
        let defaults = if skips_defaults { Vec::new() } else { [&REQUESTED[..], &NAME_SERVICE].concat() };
        wishes.request = defaults;
        for (at, item) in section.request.iter().enumerate().filter(|(_, item)| !item.option.is_empty()) {
            let option = number(&item.option, &format!("ipam.request[{at}]"))?;
            if !wishes.request.contains(&option) {
                wishes.request.push(option);
            }
        }
        Ok(wishes)
    }
}

fn number(text: &str, key: &str) -> Result<u8, CniError> {
    let known = NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    known.or_else(|| text.parse().ok()).ok_or_else(|| {
        let names = NAMES.map(|(name, _)| name).join(", ");
        wrong(format!("{key}.option {text:?} is no DHCP option"))
            .because(format!("write a number from 1 to 254, or one of {names}"))
    })
}

fn wrong(what: String) -> CniError {
    CniError::new(Code::InvalidConfig, what)
}

#[cfg(test)]
mod tests {
    use plexus_cni::args::CniArgs;
    use serde_json::{Value, json};

    use super::*;

    fn wishes(section: &Value, args: &str) -> Result<Wishes, CniError> {
        let config = json!({"ipam": section});
        let args = CniArgs::parse(args).unwrap();
        Wishes::of(&crate::ipam::testing::request(config.as_object().unwrap(), &args))
    }

    #[test]
    fn names_and_numbers_name_options_and_arguments_win_over_values() {
        let section = json!({"type": "dhcp", "priority": 7, "provide": [
            {"option": "host-name", "value": "fixed", "fromArg": "K8S_POD_NAME"},
            {"option": "60", "value": "class"}, {"option": "user-class"}, {"option": "12", "fromArg": "NONE"},
        ], "request": [{"option": "42"}, {"option": "routers"}]});
        let found = wishes(&section, "K8S_POD_NAME=web-0").unwrap();
        assert_eq!(found.provide, [(12, b"web-0".to_vec()), (60, b"class".to_vec())]);
        assert_eq!(found.request, [1, 3, 121, 33, 6, 15, 119, 42]);
        assert_eq!(found.priority, 7);
        assert_eq!(wishes(&section, "").unwrap().provide[0], (12, b"fixed".to_vec()));
    }

    #[test]
    fn families_are_ipv4_unless_said_otherwise() {
        let families = |own: Value| wishes(&json!({"plexus": own}), "").map(|wishes| wishes.families);
        assert_eq!(families(json!({})).unwrap(), [Family::Ipv4]);
        assert_eq!(
            families(json!({"families": ["ipv6", "ipv4", "ipv6"]})).unwrap(),
            [Family::Ipv4, Family::Ipv6]
        );
        for wrong in [json!({"families": []}), json!({"families": ["ip"]}), json!({"family": "ipv6"})] {
            assert_eq!(families(wrong).unwrap_err().code, Code::InvalidConfig);
        }
    }

    #[test]
    fn skip_default_leaves_what_is_asked_for() {
        let section = json!({"request": [{"skipDefault": true}, {"option": "subnet-mask"}, {"option": "1"}]});
        assert_eq!(wishes(&section, "").unwrap().request, [1]);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_its_key() {
        let long = "x".repeat(256);
        for (section, part) in [
            (json!({"provide": [{"option": "hostname", "value": "x"}]}), "provide[0].option"),
            (json!({"request": [{"option": "256"}]}), "request[0].option"),
            (json!({"provide": [{"option": "53", "value": "x"}]}), "cannot be provided"),
            (json!({"provide": [{"option": "12", "value": long}]}), "256 bytes"),
        ] {
            let error = wishes(&section, "").unwrap_err();
            assert!(error.code == Code::InvalidConfig && error.msg.contains(part), "{error}");
        }
    }
}
