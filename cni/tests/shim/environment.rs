//! The `CNI_*` variables: C016 to C028.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::Value;

use crate::support::{Ended, FakeAgent, Shim, Step, config, file_with};

/// Runs a shim that must fail before it asks the agent or writes anything.
fn refused(mut shim: Shim) -> Ended {
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    let ended = shim.run(config("1.1.0"));
    assert!(agent.saw_nothing() && !shim.state_dir().exists());
    assert_eq!(ended.code(), 4, "{}", ended.message());
    ended
}

#[test]
fn c016_an_unknown_command_is_named() {
    for command in ["add", "UPDATE", "ADD "] {
        assert!(refused(Shim::new(command)).message().contains("CNI_COMMAND"));
    }
}

#[test]
fn c017_an_absent_command_is_named() {
    assert!(refused(Shim::new("")).message().contains("CNI_COMMAND"));
    assert!(refused(Shim::new("").without("CNI_COMMAND")).message().contains("CNI_COMMAND"));
}

#[test]
fn c018_c020_add_and_check_name_each_missing_variable() {
    let keys = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
    for command in ["ADD", "CHECK"] {
        for missing in keys {
            let shim = Shim::new(command).env("CNI_NETNS", "/nowhere").without(missing);
            let message = refused(shim).message();
            for key in keys {
                assert_eq!(message.contains(key), key == missing, "{message}");
            }
        }
        let none = keys.into_iter().fold(Shim::new(command), Shim::without);
        let message = refused(none).message();
        assert!(keys.iter().all(|key| message.contains(key)), "{message}");
    }
}

#[test]
fn c019_del_names_container_and_interface_but_needs_no_netns() {
    for missing in ["CNI_CONTAINERID", "CNI_IFNAME"] {
        assert!(refused(Shim::new("DEL").without(missing)).message().contains(missing));
    }
    let mut shim = Shim::new("DEL");
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    shim.run(config("1.1.0")).success();
    assert_eq!(agent.seen().call.netns, None);
}

#[test]
fn c021_gc_needs_a_path_and_no_container() {
    assert!(refused(Shim::new("GC").without("CNI_PATH")).message().contains("CNI_PATH"));
    let mut shim = Shim::new("GC").without("CNI_CONTAINERID").without("CNI_IFNAME");
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    shim.run(config("1.1.0")).success();
}

#[test]
fn c022_c023_status_and_del_need_no_path() {
    for command in ["STATUS", "DEL"] {
        let mut shim = Shim::new(command).without("CNI_PATH");
        let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
        shim.run(config("1.1.0")).success();
        assert!(agent.seen().call.path.is_empty());
    }
    let mut shim = Shim::new("STATUS").without("CNI_CONTAINERID").without("CNI_IFNAME");
    let _agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    shim.run(config("1.1.0")).success();
}

#[test]
fn c024_a_container_id_that_could_be_a_path_has_no_effect() {
    for id in ["-a", ".a", "a/b", "../a", "a..b/c", "a b", "a;b", "a\nb", "ä"] {
        assert!(refused(Shim::new("DEL").env("CNI_CONTAINERID", id)).message().contains("CNI_CONTAINERID"));
    }
    refused(Shim::new("DEL").env("CNI_CONTAINERID", OsStr::from_bytes(b"a\xff")));
}

#[test]
fn c025_a_container_id_that_names_no_file_is_refused_and_not_cut() {
    assert!(refused(Shim::new("DEL").env("CNI_CONTAINERID", "a".repeat(256))).message().contains("256"));
    let mut shim = Shim::new("DEL").env("CNI_CONTAINERID", "a".repeat(200));
    shim.run(config("1.1.0")).success();
    assert_eq!(shim.spooled().len(), 1, "the longest id that is accepted fits into a file name");
}

#[test]
fn c026_c027_an_interface_name_that_the_kernel_would_not_take_is_refused() {
    for name in ["", "sixteen-bytes-ab", ".", "..", "a/b", "a:b", "a b", "a\tb", "net%d"] {
        let shim = Shim::new("ADD").env("CNI_NETNS", "/nowhere").env("CNI_IFNAME", name);
        assert!(refused(shim).message().contains("CNI_IFNAME"), "{name:?}");
    }
}

#[test]
fn c028_arguments_need_one_equals_sign_and_known_keys() {
    for args in ["K8S_POD_NAME", "K8S_POD_NAME=a=b", "=a", "COLOR=blue"] {
        let shim = Shim::new("ADD").env("CNI_NETNS", "/nowhere").env("CNI_ARGS", args);
        assert!(refused(shim).message().contains("CNI_ARGS"), "{args}");
    }
    let mut shim = Shim::new("DEL").env("CNI_ARGS", "IgnoreUnknown=1;COLOR=blue");
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Done(Value::Null)]]);
    shim.run(config("1.1.0")).success();
    assert_eq!(agent.seen().call.args, "IgnoreUnknown=1;COLOR=blue");
}

#[test]
fn c004_an_error_about_the_environment_has_the_configs_version() {
    let ended = Shim::new("ADD").run_with(file_with(&config("0.4.0")));
    assert_eq!(ended.error()["cniVersion"], "0.4.0");
}
