//! What becomes of each of Multus' keys.

/// What a key does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The same as with Multus.
    Honoured,
    /// It has an effect, but another one.
    Changed,
    /// Nothing.
    Ignored,
    /// Neither side knows it.
    Unknown,
}

/// One of Multus' keys.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What becomes of it.
    pub effect: Effect,
    /// Whether it belongs to each call's config: in a daemon config it takes the place of the runtime's key there.
    pub is_of_calls: bool,
    /// Why, and what to do instead; for an honoured key what it does.
    pub why: &'static str,
}

const fn call(name: &'static str, effect: Effect, why: &'static str) -> Key {
    Key { name, effect, is_of_calls: true, why }
}

const fn node(name: &'static str, effect: Effect, why: &'static str) -> Key {
    Key { name, effect, is_of_calls: false, why }
}

/// Every key of `daemon-config.json` and `00-multus.conf`.
pub const KEYS: &[Key] = &[
    node("cniVersion", Effect::Honoured, "version of the config that is written for the runtime"),
    node("name", Effect::Honoured, "the network's name, as the runtime knows it"),
    node("type", Effect::Honoured, "multus and multus-shim are served as plexus is"),
    node("capabilities", Effect::Honoured, "what the runtime shall pass in runtimeConfig"),
    node("runtimeConfig", Effect::Honoured, "what the runtime asks for; belongs to a call, not to the node"),
    node(
        "prevResult",
        Effect::Ignored,
        "the meta-plugin is the first of its chain; belongs to a call, not to the node",
    ),
    call("confDir", Effect::Honoured, "CNI files for networks by name"),
    call(
        "cniDir",
        Effect::Changed,
        "read once more for pods that Multus attached; Plexus keeps its own records in its state directory",
    ),
    call("binDir", Effect::Honoured, "directories of plugins, searched first"),
    call("delegates", Effect::Honoured, "the first is the default network"),
    call("clusterNetwork", Effect::Honoured, "the default network"),
    call("defaultNetworks", Effect::Honoured, "networks that every pod gets"),
    node("kubeconfig", Effect::Ignored, "plexusd uses its service account in a cluster, or `--kubeconfig`"),
    node(
        "logFile",
        Effect::Ignored,
        "plexusd logs to stderr, which the runtime or systemd keeps and rotates",
    ),
    node("logLevel", Effect::Changed, "debug is debug, verbose is info, error and panic are error"),
    node("logToStderr", Effect::Ignored, "plexusd always logs to stderr"),
    node("logOptions", Effect::Ignored, "there is no log file to rotate"),
    call(
        "readinessindicatorfile",
        Effect::Changed,
        "ADD and GC wait for it by inotify; STATUS answers at once",
    ),
    call("namespaceIsolation", Effect::Honoured, "networks of the pod's own and the global namespaces only"),
    call("globalNamespaces", Effect::Honoured, "namespaces whose networks every pod may use"),
    call("systemNamespaces", Effect::Honoured, "namespaces whose pods get no defaultNetworks"),
    call("multusNamespace", Effect::Honoured, "namespace of the administrator's networks"),
    node(
        "retryDeleteOnError",
        Effect::Ignored,
        "always so: what a DEL could not remove stays recorded until one succeeds",
    ),
    node(
        "allowTryDeleteOnErr",
        Effect::Ignored,
        "Multus' documentation spells retryDeleteOnError so, and never reads it; retrying is always on",
    ),
    call(
        "auxiliaryCNIChainName",
        Effect::Honoured,
        "plugins beside the default network's file, run for every pod",
    ),
    node(
        "daemonSocketDir",
        Effect::Ignored,
        "the shim goes to /run/plexus/plexus.sock, or to the key \"socket\"",
    ),
    node(
        "chrootDir",
        Effect::Ignored,
        "plugins are executed by the shim, which runs in the host's namespaces: no chroot and no mount of the host's root is needed",
    ),
    node(
        "socketDir",
        Effect::Ignored,
        "Multus removes that directory when it starts; plexusd listens on `--socket`, so that both can be there during a change",
    ),
    node(
        "metricsPort",
        Effect::Changed,
        "the page is served on that port, by plexusd's own names; `--metrics-multus-names` adds Multus' one",
    ),
    node("enablePprof", Effect::Ignored, "there is no Go runtime to profile"),
    node(
        "connectionLimit",
        Effect::Changed,
        "most connections served at once; more wait. Without it 512, never without a limit",
    ),
    node(
        "perNodeCertificate",
        Effect::Ignored,
        "the projected service account token is read again before it expires, so no certificate is needed",
    ),
    node("cniConfigDir", Effect::Honoured, "where the runtime's config is written"),
    node(
        "multusConfigFile",
        Effect::Changed,
        "auto writes the runtime's config; for a path, put the file there yourself",
    ),
    node("multusAutoconfigDir", Effect::Honoured, "where the primary network's config is looked for"),
    node("multusMasterCNI", Effect::Honoured, "file name of the primary network's config"),
    node(
        "forceCNIVersion",
        Effect::Ignored,
        "each network is asked in its own cniVersion and its result converted, so no file has to be rewritten",
    ),
    node("overrideNetworkName", Effect::Honoured, "the written config has the primary network's name"),
];
