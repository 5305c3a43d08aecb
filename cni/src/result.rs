//! The result of ADD, in the shape of every version.
//!
//! Fields that this code does not know are kept, so a chain loses nothing that an earlier plugin said (C053).

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{CniError, Code};
use crate::json::Object;
use crate::version::Version;

/// What an ADD attached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CniResult {
    /// Every interface that was created, the host's side included.
    pub interfaces: Vec<Interface>,
    /// Addresses of the container's interfaces.
    pub ips: Vec<IpConfig>,
    /// Routes inside the container.
    pub routes: Vec<Route>,
    /// Name servers, as configured.
    pub dns: Dns,
    /// Keys unknown here.
    pub extra: Object,
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: Option<String>,
    /// Its MTU in bytes (1.1.0).
    pub mtu: Option<u32>,
    /// The network namespace as the runtime named it; absent for the host's.
    pub sandbox: Option<String>,
    /// Keys unknown here, `socketPath` and `pciID` among them.
    pub extra: Object,
}

/// One address.
#[derive(Clone, Debug, PartialEq)]
pub struct IpConfig {
    /// The address with its prefix length.
    pub address: IpNet,
    /// The subnet's gateway.
    pub gateway: Option<IpAddr>,
    /// Index into `interfaces`.
    pub interface: Option<usize>,
    /// Keys unknown here.
    pub extra: Object,
}

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The destination.
    pub dst: IpNet,
    /// The next hop; without one the gateway of the address of the same family is used.
    pub gw: Option<IpAddr>,
    /// Path MTU in bytes (1.1.0).
    pub mtu: Option<u32>,
    /// Advertised TCP maximum segment size in bytes (1.1.0).
    pub advmss: Option<u32>,
    /// Metric (1.1.0).
    pub priority: Option<u32>,
    /// Routing table (1.1.0).
    pub table: Option<u32>,
    /// Scope (1.1.0).
    pub scope: Option<u8>,
    /// Keys unknown here.
    pub extra: Object,
}

impl Route {
    /// A route with nothing but a destination and perhaps a next hop.
    pub fn new(dst: IpNet, gw: Option<IpAddr>) -> Self {
        Self {
            dst,
            gw,
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
            scope: None,
            extra: Object::new(),
        }
    }
}

/// Name servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dns(pub Object);

impl CniResult {
    /// Parses a result of any supported version (C055); `what` names it in errors.
    pub fn from_value(value: &Value, what: &str) -> Result<Self, CniError> {
        let mut rest = Fields::new(value, what)?;
        let interfaces = rest.list("interfaces", Interface::from_value)?;
        let ips = rest.list("ips", IpConfig::from_value)?;
        let routes = rest.list("routes", Route::from_value)?;
        let dns = Dns(rest.take("dns")?.unwrap_or_default());
        rest.object.shift_remove("cniVersion");
        Ok(Self { interfaces, ips, routes, dns, extra: rest.object })
    }

    /// The result in the shape of `version` (C044).
    pub fn to_value(&self, version: Version) -> Value {
        let mut object = Object::new();
        object.insert("cniVersion".into(), version.as_str().into());
        let mut list = |key: &str, items: Vec<Value>| {
            if !items.is_empty() {
                object.insert(key.into(), items.into());
            }
        };
        list("interfaces", self.interfaces.iter().map(|interface| interface.to_value(version)).collect());
        list("ips", self.ips.iter().map(|ip| ip.to_value(version)).collect());
        list("routes", self.routes.iter().map(|route| route.to_value(version)).collect());
        if !self.dns.0.is_empty() || version < Version::V1_0_0 {
            object.insert("dns".into(), Value::Object(self.dns.0.clone()));
        }
        object.extend(self.extra.clone());
        Value::Object(object)
    }

    /// Index of the container's interface `name`, if the result lists it.
    pub fn container_interface(&self, name: &str) -> Option<usize> {
        self.interfaces.iter().position(|interface| interface.name == name && interface.sandbox.is_some())
    }
}

impl Interface {
    fn from_value(value: &Value, what: &str) -> Result<Self, CniError> {
        let mut rest = Fields::new(value, what)?;
        Ok(Self {
            name: rest.take("name")?.unwrap_or_default(),
            mac: rest.take::<String>("mac")?.filter(|mac| !mac.is_empty()),
            mtu: rest.take::<u32>("mtu")?.filter(|mtu| *mtu != 0),
            sandbox: rest.take::<String>("sandbox")?.filter(|path| !path.is_empty()),
            extra: rest.object,
        })
    }

    fn to_value(&self, version: Version) -> Value {
        let mut object = Object::new();
        object.insert("name".into(), self.name.clone().into());
        put(&mut object, "mac", self.mac.as_ref());
        if version >= Version::V1_1_0 {
            put(&mut object, "mtu", self.mtu.as_ref());
        }
        put(&mut object, "sandbox", self.sandbox.as_ref());
        let newer = |key: &str| version < Version::V1_1_0 && matches!(key, "socketPath" | "pciID");
        object.extend(self.extra.clone().into_iter().filter(|(key, _)| !newer(key)));
        Value::Object(object)
    }
}

impl IpConfig {
    fn from_value(value: &Value, what: &str) -> Result<Self, CniError> {
        let mut rest = Fields::new(value, what)?;
        rest.object.shift_remove("version");
        Ok(Self {
            address: rest.required("address")?,
            gateway: rest.take("gateway")?,
            interface: rest.take("interface")?,
            extra: rest.object,
        })
    }

    fn to_value(&self, version: Version) -> Value {
        let mut object = Object::new();
        if version < Version::V1_0_0 {
            object.insert("version".into(), if self.address.addr().is_ipv4() { "4" } else { "6" }.into());
        }
        put(&mut object, "interface", self.interface.as_ref());
        put(&mut object, "address", Some(&self.address));
        put(&mut object, "gateway", self.gateway.as_ref());
        object.extend(self.extra.clone());
        Value::Object(object)
    }
}

impl Route {
    /// Parses a route of a result or of an IPAM config.
    pub fn from_value(value: &Value, what: &str) -> Result<Self, CniError> {
        let mut rest = Fields::new(value, what)?;
        Ok(Self {
            dst: rest.required("dst")?,
            gw: rest.take("gw")?,
            mtu: rest.take("mtu")?,
            advmss: rest.take("advmss")?,
            priority: rest.take("priority")?,
            table: rest.take("table")?,
            scope: rest.take("scope")?,
            extra: rest.object,
        })
    }

    fn to_value(&self, version: Version) -> Value {
        let mut object = Object::new();
        put(&mut object, "dst", Some(&self.dst));
        put(&mut object, "gw", self.gw.as_ref());
        if version >= Version::V1_1_0 {
            put(&mut object, "mtu", self.mtu.as_ref());
            put(&mut object, "advmss", self.advmss.as_ref());
            put(&mut object, "priority", self.priority.as_ref());
            put(&mut object, "table", self.table.as_ref());
            put(&mut object, "scope", self.scope.as_ref());
        }
        object.extend(self.extra.clone());
        Value::Object(object)
    }
}

fn put<T: Serialize>(object: &mut Object, key: &str, value: Option<&T>) {
    if let Some(value) = value {
        object.insert(key.into(), json!(value));
    }
}

/// An object from which known keys are taken one by one; what is left is unknown.
struct Fields<'a> {
    object: Object,
    what: &'a str,
}

impl<'a> Fields<'a> {
    fn new(value: &Value, what: &'a str) -> Result<Self, CniError> {
        match value {
            Value::Object(object) => Ok(Self { object: object.clone(), what }),
            _ => Err(CniError::new(Code::Decoding, format!("{what} is not an object"))),
        }
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, CniError> {
        match self.object.shift_remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(value) => serde_json::from_value(value).map(Some).map_err(|error| {
                CniError::new(Code::Decoding, format!("{}: key {key:?} cannot be used", self.what))
                    .because(error.to_string())
            }),
        }
    }

    fn required<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, CniError> {
        let missing = CniError::new(Code::Decoding, format!("{}: key {key:?} is missing", self.what));
        self.take(key)?.ok_or(missing)
    }

    fn list<T>(
        &mut self,
        key: &str,
        parse: fn(&Value, &str) -> Result<T, CniError>,
    ) -> Result<Vec<T>, CniError> {
        let items: Vec<Value> = self.take(key)?.unwrap_or_default();
        items
            .iter()
            .enumerate()
            .map(|(at, item)| parse(item, &format!("{}: {key}[{at}]", self.what)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn c044_each_version_has_its_own_shape() {
        let value = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "net1", "mac": "02:00:00:00:00:01", "mtu": 1400, "sandbox": "/n"}],
            "ips": [{"interface": 0, "address": "10.0.0.2/24", "gateway": "10.0.0.1"}],
            "routes": [{"dst": "0.0.0.0/0", "priority": 100}],
        });
        let result = CniResult::from_value(&value, "result").unwrap();
        assert_eq!(result.to_value(Version::V1_1_0), value);
        let old = result.to_value(Version::V0_3_1);
        assert_eq!(old["ips"][0]["version"], "4");
        assert!(old["interfaces"][0].get("mtu").is_none() && old["routes"][0].get("priority").is_none());
        assert_eq!(CniResult::from_value(&old, "result").unwrap().ips, result.ips);
    }

    #[test]
    fn c053_unknown_fields_survive() {
        let value = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "a", "x": 1}], "y": {"z": [1, 2]}});
        assert_eq!(CniResult::from_value(&value, "prevResult").unwrap().to_value(Version::V1_0_0), value);
    }

    #[test]
    fn c055_a_result_that_cannot_be_read_names_the_key() {
        let error =
            CniResult::from_value(&json!({"ips": [{"address": "10.0.0.300/24"}]}), "prevResult").unwrap_err();
        assert_eq!(error.code, Code::Decoding);
        assert!(error.msg.contains("ips[0]") && error.msg.contains("address"), "{error}");
    }

    fn address() -> impl Strategy<Value = IpNet> {
        (any::<IpAddr>(), 0..=128_u8)
            .prop_map(|(ip, length)| IpNet::new(ip, if ip.is_ipv4() { length % 33 } else { length }).unwrap())
    }

    /// A result that every version can express.
    fn plain_result() -> impl Strategy<Value = CniResult> {
        let interface =
            ("[a-z]{1,8}", proptest::option::of("[0-9a-f]{2}"), proptest::option::of("/[a-z]{1,8}"))
                .prop_map(|(name, mac, sandbox)| Interface { name, mac, sandbox, ..Interface::default() });
        let ip = (address(), proptest::option::of(any::<IpAddr>()), proptest::option::of(0..4_usize))
            .prop_map(|(address, gateway, interface)| IpConfig {
                address,
                gateway,
                interface,
                extra: Object::new(),
            });
        let route =
            (address(), proptest::option::of(any::<IpAddr>())).prop_map(|(dst, gw)| Route::new(dst, gw));
        (
            proptest::collection::vec(interface, 0..4),
            proptest::collection::vec(ip, 0..4),
            proptest::collection::vec(route, 0..4),
        )
            .prop_map(|(interfaces, ips, routes)| CniResult {
                interfaces,
                ips,
                routes,
                ..CniResult::default()
            })
    }

    proptest! {
        #[test]
        fn c044_c055_a_result_survives_every_version(result in plain_result()) {
            for version in Version::ALL {
                let value = result.to_value(version);
                prop_assert_eq!(&value["cniVersion"], version.as_str());
                prop_assert_eq!(&CniResult::from_value(&value, "prevResult").unwrap(), &result);
            }
        }

        #[test]
        fn no_document_makes_the_parser_panic(text in r#"[\[\]{}":,a-z0-9./ ]{0,60}"#) {
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            let nested = json!({"ips": [value], "interfaces": value, "routes": [{"dst": value}]});
            prop_assert!(CniResult::from_value(&nested, "prevResult").is_err());
        }
    }
}
