//! Values from a file as flags of `plexusd run`, where the command line does not give them.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

/// A flag and its value, as a file has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    /// Without dashes: `state-dir`.
    pub(super) name: String,
    pub(super) value: String,
}

/// `stateDir` is `state-dir`.
pub(super) fn flag_name(key: &str) -> String {
    key.chars().fold(String::new(), |mut name, letter| {
        if letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
        name
    })
}

/// The flags of one key: a list is given once for each of its items.
pub(super) fn flags(key: &str, value: &Value) -> Vec<Flag> {
    let name = flag_name(key);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => {
            items.iter().map(|item| Flag { name: name.clone(), value: text(item) }).collect()
        }
        other => vec![Flag { name, value: text(other) }],
    }
}

/// The arguments for those flags that exist and that neither command line nor environment gives, nor one that excludes
/// them. Flags that do not exist come second.
pub(super) fn missing(run: &Command, given: &ArgMatches, flags: &[Flag]) -> (Vec<OsString>, Vec<Flag>) {
    let is_given = |id: &str| {
        matches!(given.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let (mut arguments, mut unknown) = (Vec::new(), Vec::new());
    for flag in flags {
        let Some(arg) = run.get_arguments().find(|arg| arg.get_long() == Some(&flag.name)) else {
            unknown.push(flag.clone());
            continue;
        };
        let is_excluded = excludes(run, arg).any(|other| is_given(other.get_id().as_str()));
        let is_switch = !arg.get_action().takes_values();
        let is_off = is_switch && flag.value == "false";
        if !(is_given(arg.get_id().as_str()) || is_excluded || is_off) {
            let value = if is_switch { String::new() } else { format!("={}", flag.value) };
            arguments.push(OsString::from(format!("--{}{value}", flag.name)));
        }
    }
    (arguments, unknown)
}

/// The flags that exclude `arg`, whichever of the two says so.
fn excludes<'a>(run: &'a Command, arg: &'a Arg) -> impl Iterator<Item = &'a Arg> {
    run.get_arguments().filter(move |other| {
        run.get_arg_conflicts_with(arg).contains(other) || run.get_arg_conflicts_with(other).contains(&arg)
    })
}
