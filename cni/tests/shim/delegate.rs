//! Plugins that the shim executes on the agent's word: C006, C033, C133, C143 to C146, C149.

use std::fs::{File, OpenOptions};
use std::time::Duration;

use serde_json::Value;

use crate::support::{FakeAgent, Plugins, Shim, Step, config, make_executable};
use plexus_cni::limits::{DELEGATE_STDERR_BYTES_MAX, DELEGATE_STDOUT_BYTES_MAX};
use plexus_cni::wire::{ExecEnd, ExecOutcome, ExecRequest};

/// The outcome of one execution, and what the shim repeated on stderr.
fn execute(request: ExecRequest) -> (ExecOutcome, Vec<u8>) {
    let mut shim = Shim::new("DEL").env("INHERITED", "yes");
    let agent = FakeAgent::listen(&shim.socket(), vec![vec![Step::Exec(request), Step::Done(Value::Null)]]);
    let ended = shim.run(config("1.0.0"));
    ended.success();
    (agent.seen().outcomes.remove(0), ended.stderr)
}

#[test]
fn c149_a_plugin_gets_its_input_and_its_stderr_is_repeated() {
    let plugins = Plugins::new();
    plugins.add("p", r#"cat; echo "$CNI_COMMAND $CNI_IFNAME $CNI_CONTAINERID $INHERITED" >&2; exit 3"#);
    let (outcome, stderr) = execute(plugins.request("p", "{\"in\":1}"));
    assert_eq!(outcome.end, ExecEnd::Exited(3));
    assert_eq!(outcome.stdout, "{\"in\":1}");
    assert_eq!(outcome.stderr, "ADD net1 cid-1 yes\n");
    assert_eq!(stderr, outcome.stderr.as_bytes(), "repeated on our stderr");
}

#[test]
fn c006_ten_megabytes_on_stderr_change_nothing() {
    let plugins = Plugins::new();
    plugins.add("p", "head -c 10485760 /dev/zero >&2; cat");
    let (outcome, stderr) = execute(plugins.request("p", "{}"));
    assert_eq!((outcome.end, &*outcome.stdout), (ExecEnd::Exited(0), "{}"));
    assert_eq!((outcome.stderr.len(), stderr.len()), (DELEGATE_STDERR_BYTES_MAX, DELEGATE_STDERR_BYTES_MAX));
}

#[test]
fn a_plugin_that_never_reads_its_input_is_not_waited_for() {
    let plugins = Plugins::new();
    plugins.add("p", "echo {}");
    let (outcome, _) = execute(plugins.request("p", &"x".repeat(1 << 20)));
    assert_eq!((outcome.end, &*outcome.stdout), (ExecEnd::Exited(0), "{}\n"));
}

#[test]
fn a_plugin_that_answers_before_it_has_read_all_is_not_blocked() {
    let plugins = Plugins::new();
    plugins.add("p", "head -c 500000 /dev/zero; cat >/dev/null");
    let (outcome, _) = execute(plugins.request("p", &"x".repeat(1 << 20)));
    assert_eq!((outcome.end, outcome.stdout.len()), (ExecEnd::Exited(0), 500_000));
}

#[test]
fn c033_a_plugin_inherits_no_descriptor_and_the_same_directory() {
    let plugins = Plugins::new();
    // No pipeline: the shell would hold its pipe for a moment.
    plugins.add("p", "cat >/dev/null; pwd; ls /proc/$$/fd");
    let (outcome, _) = execute(plugins.request("p", "{}"));
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], std::env::current_dir().unwrap().to_string_lossy());
    // The shell reads its script through a descriptor from 10 on.
    let inherited: Vec<_> =
        lines[1..].iter().filter_map(|fd| fd.parse::<u32>().ok()).filter(|fd| *fd < 10).collect();
    assert_eq!(inherited, [0, 1, 2]);
}

#[test]
fn c133_only_executable_regular_files_of_the_listed_directories_are_plugins() {
    let plugins = Plugins::new();
    std::fs::create_dir(plugins.path().join("directory")).unwrap();
    std::fs::write(plugins.path().join("data"), "").unwrap();
    for name in ["absent", "directory", "data", "../bin/sh", "/bin/sh", "", ".."] {
        assert_eq!(execute(plugins.request(name, "{}")).0.end, ExecEnd::NotFound, "{name}");
    }
    let second = Plugins::new();
    second.add("data", "cat");
    let mut request = plugins.request("data", "{}");
    request.path.push(second.path().display().to_string());
    assert_eq!(execute(request).0.end, ExecEnd::Exited(0), "the next directory is looked in");
}

#[test]
fn a_file_that_cannot_be_started_says_why() {
    let plugins = Plugins::new();
    let path = plugins.path().join("p");
    std::fs::write(&path, "no program").unwrap();
    make_executable(&path);
    let ExecEnd::NotStarted(why) = execute(plugins.request("p", "{}")).0.end else {
        panic!("it was started")
    };
    assert!(why.contains(&path.display().to_string()), "{why}");
}

#[test]
fn c144_a_plugin_that_talks_without_end_is_stopped() {
    let plugins = Plugins::new();
    plugins.add("p", "cat /dev/zero");
    let (outcome, _) = execute(plugins.request("p", "{}"));
    assert_eq!(outcome.end, ExecEnd::TooMuchOutput);
    assert!(outcome.stdout.len() <= DELEGATE_STDOUT_BYTES_MAX);
}

#[test]
fn c144_what_is_no_json_reaches_the_agent_as_it_is() {
    let plugins = Plugins::new();
    plugins.add("p", "printf 'a\\377b'");
    assert_eq!(execute(plugins.request("p", "{}")).0.stdout, "a\u{fffd}b");
    plugins.add("q", "true");
    assert_eq!(execute(plugins.request("q", "{}")).0.stdout, "");
}

#[test]
fn c145_a_plugin_that_hangs_is_killed_with_all_that_it_started() {
    let plugins = Plugins::new();
    let pids = plugins.path().join("pids");
    plugins.add("p", &format!("sleep 1000 & echo $! >{0}; echo $$ >>{0}; echo half; wait", pids.display()));
    let mut request = plugins.request("p", "{}");
    request.deadline_ms = 5_000;
    let (outcome, _) = execute(request);
    assert_eq!((outcome.end, &*outcome.stdout), (ExecEnd::TimedOut, "half\n"));
    for pid in std::fs::read_to_string(pids).unwrap().lines() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "process {pid} is still there: {stat}");
    }
}

#[test]
fn a_signal_that_ends_a_plugin_is_told() {
    let plugins = Plugins::new();
    plugins.add("p", "kill -9 $$");
    assert_eq!(execute(plugins.request("p", "{}")).0.end, ExecEnd::Signaled(9));
}

#[test]
fn a_plugin_that_leaves_a_daemon_behind_does_not_hold_the_call() {
    let plugins = Plugins::new();
    let pid_file = plugins.path().join("pid");
    plugins.add("p", &format!("sleep 1000 & echo $! >{}; echo {{}}", pid_file.display()));
    let (outcome, _) = execute(plugins.request("p", "{}"));
    assert_eq!((outcome.end, &*outcome.stdout), (ExecEnd::Exited(0), "{}\n"));
    let pid = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// A plugin that is no script: the kernel refuses to execute a file that somebody writes to.
fn writable_plugin(plugins: &Plugins) -> File {
    let path = plugins.path().join("p");
    std::fs::copy("/bin/cat", &path).unwrap();
    make_executable(&path);
    OpenOptions::new().append(true).open(path).unwrap()
}

#[test]
fn c146_a_plugin_that_is_being_replaced_is_tried_again() {
    let plugins = Plugins::new();
    let writer = writable_plugin(&plugins);
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(writer);
    });
    let (outcome, _) = execute(plugins.request("p", "{}"));
    release.join().unwrap();
    assert_eq!((outcome.end, &*outcome.stdout), (ExecEnd::Exited(0), "{}"));
}

#[test]
fn c146_a_plugin_that_stays_busy_is_given_up() {
    let plugins = Plugins::new();
    let _writer = writable_plugin(&plugins);
    let ExecEnd::NotStarted(why) = execute(plugins.request("p", "{}")).0.end else {
        panic!("it was started")
    };
    assert!(why.to_lowercase().contains("busy"), "{why}");
}

#[test]
fn a_plugin_name_that_leads_to_the_shim_itself_is_passed_over_for_the_plugin_that_was_kept_aside() {
    let plugins = Plugins::new();
    let shim = env!("CARGO_BIN_EXE_plexus");
    std::os::unix::fs::symlink(shim, plugins.path().join("p")).unwrap();
    assert_eq!(execute(plugins.request("p", "{}")).0.end, ExecEnd::NotFound);
    plugins.add("p.before-plexus", "echo kept");
    assert_eq!(execute(plugins.request("p", "{}")).0.stdout, "kept\n");
    // Another version of the shim, as an upgrade leaves it.
    std::fs::remove_file(plugins.path().join("p")).unwrap();
    plugins.add("plexus", "echo recursion");
    std::os::unix::fs::symlink("plexus", plugins.path().join("p")).unwrap();
    assert_eq!(execute(plugins.request("p", "{}")).0.stdout, "kept\n");
}
