//! The standard plugins and their keys, as of containernetworking/plugins 1.9.1, sriov-cni and route-override-cni.

/// A plugin's type and its keys beside those of every plugin.
pub(crate) const PLUGINS: &[(&str, &[&str])] = &[
    ("macvlan", &["master", "mode", "mtu", "mac", "linkInContainer", "bcqueuelen"]),
    ("ipvlan", &["master", "mode", "mtu", "linkInContainer"]),
    ("host-device", &["device", "hwaddr", "kernelpath", "pciBusID", "deviceID"]),
    (
        "bridge",
        &[
            "bridge",
            "isGateway",
            "isDefaultGateway",
            "forceAddress",
            "ipMasq",
            "ipMasqBackend",
            "mtu",
            "hairpinMode",
            "promiscMode",
            "vlan",
            "vlanTrunk",
            "preserveDefaultVlan",
            "macspoofchk",
            "portIsolation",
            "enabledad",
            "disableContainerInterface",
            "mac",
        ],
    ),
    ("ptp", &["ipMasq", "ipMasqBackend", "mtu"]),
    ("vlan", &["master", "vlanId", "mtu", "linkInContainer"]),
    ("tap", &["multiQueue", "mtu", "mac", "owner", "group", "selinuxContext", "bridge"]),
    ("dummy", &[]),
    ("loopback", &[]),
    ("tuning", &["sysctl", "mac", "promisc", "mtu", "allmulti", "txQLen", "dataDir"]),
    (
        "bandwidth",
        &["ingressRate", "ingressBurst", "egressRate", "egressBurst", "shapedSubnets", "unshapedSubnets"],
    ),
    ("sbr", &["table", "gateways", "addSourceHints"]),
    ("vrf", &["vrfname", "table"]),
    (
        "portmap",
        &[
            "snat",
            "conditionsV4",
            "conditionsV6",
            "masqAll",
            "markMasqBit",
            "externalSetMarkChain",
            "backend",
            "portMappings",
        ],
    ),
    ("firewall", &["backend", "iptablesAdminChainName", "firewalldZone", "ingressPolicy"]),
    ("route-override", &["flushroutes", "flushgateway", "delroutes", "addroutes", "skipcheck"]),
    (
        "sriov",
        &[
            "deviceID",
            "vlan",
            "vlanQoS",
            "vlanProto",
            "mac",
            "min_tx_rate",
            "max_tx_rate",
            "spoofchk",
            "trust",
            "link_state",
            "logLevel",
            "logFile",
        ],
    ),
    ("host-local", &["ranges", "routes", "dataDir", "resolvConf"]),
    ("static", &["addresses", "routes", "dns"]),
];

/// Plugins that are executed, or stand for something that is not done here.
pub(crate) const EXECUTED: &[&str] = &["dhcp", "whereabouts", "firewalld", "rdma", "ib-sriov"];
