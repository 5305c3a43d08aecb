//! Name servers from a file in the format of resolv.conf(5).

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use plexus_cni::json::Object;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, Code};
use serde_json::Value;

/// Longest file read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Reads the file that `ipam.resolvConf` names.
pub(super) fn read(path: &Path) -> Result<Dns, CniError> {
    let fail = |why: String| {
        CniError::new(Code::Io, format!("ipam.resolvConf {} cannot be read", path.display())).because(why)
    };
    // O_NONBLOCK: a FIFO must not hold up the request.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(|error| fail(error.to_string()))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(fail("it is not a regular file".into()));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| fail(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(fail(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> Dns {
    let (mut nameservers, mut search, mut options) = (Vec::new(), Vec::new(), Vec::new());
    let mut domain = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        let keyword = words.next().unwrap_or_default();
        let Some(first) = words.next() else { continue };
        let all = || std::iter::once(first).chain(words).map(Value::from);
        match keyword {
            "nameserver" => nameservers.push(Value::from(first)),
            "domain" => domain = Some(first),
            "search" => search.extend(all()),
            "options" => options.extend(all()),
            _ => {}
        }
    }
    let mut dns = Object::new();
    let mut put = |key: &str, value: Value, present: bool| {
        if present {
            dns.insert(key.into(), value);
        }
    };
    put("nameservers", nameservers.clone().into(), !nameservers.is_empty());
    put("domain", domain.into(), domain.is_some());
    put("search", search.clone().into(), !search.is_empty());
    put("options", options.clone().into(), !options.is_empty());
    Dns(dns)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keywords_are_read_and_the_rest_is_left() {
        let text = "# c\n; c\nnameserver 10.0.0.2 x\n nameserver fd00::2\nsearch a.b c\nsearch d\n\
                    domain e\noptions ndots:5 rotate\nnameserver\nsortlist 1\n";
        let expected = json!({
            "nameservers": ["10.0.0.2", "fd00::2"], "domain": "e",
            "search": ["a.b", "c", "d"], "options": ["ndots:5", "rotate"],
        });
        assert_eq!(Value::Object(parse(text).0), expected);
        assert!(parse("").0.is_empty());
    }

    #[test]
    fn what_is_no_small_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let big = root.path().join("big");
        std::fs::write(&big, vec![b'#'; 1 << 20]).unwrap();
        let fifo = root.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&big, &fifo, &root.path().join("absent"), root.path()] {
            let error = read(path).unwrap_err();
            assert!(error.msg.contains("resolvConf") && error.code == Code::Io, "{error}");
        }
    }
}
