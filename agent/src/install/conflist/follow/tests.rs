use super::*;

const FLANNEL: &str = r#"{"cniVersion": "0.3.1", "name": "cbr0", "plugins": [{"type": "flannel"}, {"type": "portmap", "capabilities": {"portMappings": true}}]}"#;

struct Setup {
    dir: tempfile::TempDir,
    settings: ConflistSettings,
    state: State,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = ConflistSettings {
            conf_dir: dir.path().to_owned(),
            primary_dir: dir.path().to_owned(),
            file_name: "00-plexus.conflist".into(),
            primary: None,
            version: None,
            network_name: Some("multus-cni-network".into()),
            readiness_indicator: None,
            on_exit: OnExit::Keep,
            socket: None,
            state_dir: None,
        };
        Self { dir, settings, state: State::default() }
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn ours(&self) -> Option<Value> {
        Some(serde_json::from_str(&fs::read_to_string(self.settings.path()).ok()?).unwrap())
    }

    fn cluster_network(&self) -> Option<String> {
        let path = self.ours()?["plugins"][0]["clusterNetwork"].as_str().unwrap().to_owned();
        Some(path.rsplit('/').next().unwrap().to_owned())
    }

    /// One look, as the thread does it.
    fn look(&self) -> Stage {
        let ended = Arc::default();
        let work =
            Work { settings: self.settings.clone(), state: self.state.clone(), ended, watch: Watch::new() };
        work.look();
        self.state.get()
    }
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let give_up_at = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < give_up_at, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_primary_is_waited_for_and_followed() {
    let setup = Setup::new();
    let follower = start(&setup.settings, &setup.state).unwrap();
    eventually(
        "waiting",
        || matches!(setup.state.get(), Stage::Waiting { why } if why.contains("no config")),
    );
    assert!(setup.state.refusal().is_some() && setup.ours().is_none());
    setup.put("10-flannel.conflist", FLANNEL);
    eventually("the config", || setup.cluster_network().as_deref() == Some("10-flannel.conflist"));
    assert_eq!(
        setup.ours().unwrap()["plugins"][0]["capabilities"],
        serde_json::json!({"portMappings": true})
    );
    setup.put("10-flannel.conflist", &FLANNEL.replace("portMappings", "bandwidth"));
    eventually("the change", || {
        setup.ours().unwrap()["plugins"][0]["capabilities"] == serde_json::json!({"bandwidth": true})
    });
    fs::remove_file(setup.settings.path()).unwrap();
    eventually("the config, once more", || setup.ours().is_some());
    follower.end().unwrap();
    assert!(setup.ours().is_some());
}

#[test]
fn the_last_good_config_stays_while_the_primary_is_empty_broken_or_gone() {
    let setup = Setup::new();
    setup.put("10-flannel.conflist", FLANNEL);
    assert!(matches!(setup.look(), Stage::Current { primary } if primary.ends_with("10-flannel.conflist")));
    let good = setup.ours();
    for broken in ["", "{", r#"{"cniVersion": "9.9.9", "name": "x", "type": "y"}"#] {
        setup.put("10-flannel.conflist", broken);
        assert!(matches!(setup.look(), Stage::Stale { .. }), "{broken:?}");
        assert_eq!(setup.ours(), good);
        assert!(setup.state.refusal().is_none());
    }
    fs::remove_file(setup.dir.path().join("10-flannel.conflist")).unwrap();
    assert!(matches!(setup.look(), Stage::Stale { why } if why.contains("no config of a primary CNI")));
    assert_eq!(setup.ours(), good);
}

#[test]
fn an_unchanged_config_is_not_written_again() {
    let setup = Setup::new();
    setup.put("10-flannel.conflist", FLANNEL);
    setup.look();
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(setup.settings.path()).unwrap());
    let before = inode();
    setup.look();
    assert_eq!(inode(), before);
}

#[test]
fn a_meta_plugins_config_is_no_primary_whatever_its_name() {
    let setup = Setup::new();
    setup.put(
        "05-meta.conf",
        r#"{"cniVersion": "1.0.0", "name": "m", "type": "multus", "clusterNetwork": "/x"}"#,
    );
    setup.put("10-flannel.conflist", FLANNEL);
    setup.look();
    assert_eq!(setup.cluster_network().as_deref(), Some("10-flannel.conflist"));
}

#[test]
fn the_config_is_first_written_when_the_readiness_indicator_is_there_and_stays_when_it_goes() {
    let mut setup = Setup::new();
    setup.put("10-flannel.conflist", FLANNEL);
    let indicator = setup.dir.path().join("ready");
    setup.settings.readiness_indicator = Some(indicator.clone());
    assert!(matches!(setup.look(), Stage::Waiting { why } if why.contains("readiness indicator")));
    assert!(setup.ours().is_none());
    fs::write(&indicator, "").unwrap();
    assert!(matches!(setup.look(), Stage::Current { .. }));
    fs::remove_file(&indicator).unwrap();
    assert!(matches!(setup.look(), Stage::Stale { .. }) && setup.ours().is_some());
}

#[test]
fn at_the_end_our_config_goes_where_that_is_wished_and_nobody_elses() {
    let mut setup = Setup::new();
    setup.settings.on_exit = OnExit::Remove;
    setup.put("10-flannel.conflist", FLANNEL);
    let follower = start(&setup.settings, &setup.state).unwrap();
    eventually("the config", || setup.ours().is_some());
    follower.end().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(setup.ours().is_none());
    setup.put("00-plexus.conflist", FLANNEL);
    Follower { settings: setup.settings.clone(), ended: Arc::default() }.end().unwrap();
    assert!(setup.ours().is_some());
}
