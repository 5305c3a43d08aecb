//! What a config asks of the routes.

use ipnet::IpNet;
use plexus_cni::config::PluginConfig;
use plexus_cni::json;
use plexus_cni::result::Route;
use plexus_cni::{CniError, Code};
use serde::Deserialize;
use serde_json::Value;

use super::wish::PREFIXES_MAX;

/// Most routes in one list, which the kernel adds one by one.
const ROUTES_MAX: usize = 256;

/// The config, what the pod asks for in it.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "the keys of the plugin")]
pub(super) struct Config {
    pub(super) flush_routes: bool,
    pub(super) flush_gateway: bool,
    /// Destinations; next hops that are given with them do not matter, as in the reference.
    pub(super) del_routes: Vec<IpNet>,
    pub(super) add_routes: Vec<Route>,
    pub(super) skip_check: bool,
    /// The data plane routes, not the kernel.
    pub(super) dataplane: bool,
}

#[derive(Default, Deserialize)]
struct Keys {
    flushroutes: Option<bool>,
    flushgateway: Option<bool>,
    delroutes: Option<Vec<Value>>,
    addroutes: Option<Vec<Value>>,
    skipcheck: Option<bool>,
    dataplane: Option<bool>,
}

impl Config {
    /// The config's keys; each one that `args.cni` has takes its place.
    pub(super) fn of(config: &PluginConfig) -> Result<Self, CniError> {
        let own: Keys = json::typed(&config.0, "route-override")?;
        let args = config.0.get("args").and_then(|args| args.get("cni")).and_then(Value::as_object);
        let pods: Keys =
            args.map(|args| json::typed(args, "route-override: args.cni")).transpose()?.unwrap_or_default();
        let dataplane = own.dataplane.unwrap_or_default();
        let most = if dataplane { PREFIXES_MAX } else { ROUTES_MAX };
        let del_routes = routes("delroutes", pods.delroutes.or(own.delroutes), most)?;
        Ok(Self {
            flush_routes: pods.flushroutes.or(own.flushroutes).unwrap_or_default(),
            flush_gateway: pods.flushgateway.or(own.flushgateway).unwrap_or_default(),
            del_routes: del_routes.into_iter().map(|route| route.dst.trunc()).collect(),
            add_routes: routes("addroutes", pods.addroutes.or(own.addroutes), most)?,
            skip_check: pods.skipcheck.or(own.skipcheck).unwrap_or_default(),
            // Not for the pod to choose: it decides who enforces the routes.
            dataplane,
        })
    }
}

impl Config {
    /// What of it the kernel's routes are to become: with the data plane only what the chain's own plugins set goes.
    pub(super) fn of_kernel(&self) -> Self {
        if !self.dataplane {
            return self.clone();
        }
        Self { del_routes: Vec::new(), add_routes: Vec::new(), ..self.clone() }
    }
}

fn routes(key: &str, values: Option<Vec<Value>>, most: usize) -> Result<Vec<Route>, CniError> {
    let values = values.unwrap_or_default();
    if values.len() > most {
        return Err(CniError::new(
            Code::InvalidConfig,
            format!("route-override: key {key:?} has {} routes", values.len()),
        )
        .because(format!("at most {most} are allowed")));
    }
    let parse = |(at, value): (usize, &Value)| {
        Route::from_value(value, &format!("route-override: {key}[{at}]"))
            .map_err(|error| CniError { code: Code::InvalidConfig, ..error })
    };
    values.iter().enumerate().map(parse).collect()
}

/// Whether the pod's arguments change routes.
pub(super) fn has_own_arguments(config: &PluginConfig) -> bool {
    let args = config.0.get("args").and_then(|args| args.get("cni"));
    let is_given = |key: &&str| args.and_then(|args| args.get(*key)).is_some_and(|value| !value.is_null());
    ["addroutes", "delroutes"].iter().any(is_given)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Config, CniError> {
        let Value::Object(object) = value else { unreachable!("tests pass objects") };
        Config::of(&PluginConfig(object))
    }

    #[test]
    fn a_key_of_args_takes_the_place_of_the_configs() {
        let own = json!({
            "type": "route-override", "flushroutes": true, "skipcheck": true,
            "delroutes": [{"dst": "10.0.0.0/8", "gw": "10.1.0.1"}], "addroutes": [{"dst": "10.2.0.0/16"}],
        });
        let config = read(own.clone()).unwrap();
        assert_eq!(config.del_routes, ["10.0.0.0/8".parse().unwrap()]);
        let mut with_args = own;
        with_args["args"] =
            json!({"cni": {"flushroutes": false, "addroutes": [], "delroutes": null, "ips": []}});
        let changed = read(with_args).unwrap();
        assert_eq!(changed, Config { flush_routes: false, add_routes: Vec::new(), ..config });
    }

    #[test]
    fn a_key_that_cannot_be_used_is_named() {
        for (key, value) in [
            ("flushroutes", json!("yes")),
            ("delroutes", json!({"dst": "10.0.0.0/8"})),
            ("delroutes", json!([{"gw": "10.0.0.1"}])),
            ("addroutes", json!([{"dst": "10.0.0.300/8"}])),
            ("addroutes", json!(vec![json!({"dst": "10.0.0.0/8"}); ROUTES_MAX + 1])),
        ] {
            let error = read(json!({"type": "route-override", key: value})).unwrap_err();
            assert_eq!(error.code, Code::InvalidConfig);
            assert!(error.msg.contains(key), "{error}");
        }
        let error = read(json!({"type": "route-override", "dataplane": "yes"})).unwrap_err();
        assert_eq!(error.code, Code::InvalidConfig);
    }
}
