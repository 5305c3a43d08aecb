//! One run of `nft`: a script in, its output back, nothing left running.

use std::fs::File;
use std::io::{PipeReader, Read, Seek, Write, pipe};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::NftError;
use crate::fault;

/// Output kept from one run, in bytes; 10,000 elements stay below.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// How many of its error messages are repeated in ours.
const ERRORS_SHOWN: usize = 3;

/// Runs a script as one transaction and returns what it printed.
pub(super) fn run(script: &str, deadline: Duration) -> Result<String, NftError> {
    let output = run_by(Command::new("nft").args(["-f", "-"]), script, deadline)?;
    fault::point();
    Ok(output)
}

/// As [`run`], for listings; what is listed has its handle behind it.
pub(super) fn run_with_handles(script: &str, deadline: Duration) -> Result<String, NftError> {
    run_by(Command::new("nft").args(["-a", "-f", "-"]), script, deadline)
}

fn run_by(program: &mut Command, script: &str, deadline: Duration) -> Result<String, NftError> {
    let (mut child, output) = start(program, script).map_err(NftError::Start)?;
    let outcome = read_to_end(output, Instant::now() + deadline);
    if !matches!(outcome, Ok(Some(_))) {
        // Killing fails only where it has ended by itself.
        drop(child.kill());
    }
    let status = child.wait().map_err(NftError::Start)?;
    match outcome.map_err(NftError::Start)? {
        None => Err(NftError::Deadline(deadline)),
        Some(output) if status.success() => Ok(output),
        Some(output) => {
            let errors: Vec<&str> =
                output.lines().filter(|line| line.contains("Error")).take(ERRORS_SHOWN).collect();
            Err(NftError::Refused(format!("{status}: {}", errors.join("; "))))
        }
    }
}

/// The script goes through a memory file: unlike a pipe it never makes us wait for the reader.
fn start(program: &mut Command, script: &str) -> std::io::Result<(Child, PipeReader)> {
    let mut input = File::from(memfd_create("nft-script", MFdFlags::MFD_CLOEXEC)?);
    input.write_all(script.as_bytes())?;
    input.rewind()?;
    let (output, writer) = pipe()?;
    program.env("LC_ALL", "C").stdin(Stdio::from(input)).stderr(writer.try_clone()?).stdout(writer);
    let child = program.spawn()?;
    // The command holds writing ends of its own; while they are open the output does not end.
    program.stdout(Stdio::null()).stderr(Stdio::null());
    Ok((child, output))
}

/// Everything until the program has closed its output; `None` where it has not by `give_up_at`.
fn read_to_end(mut output: PipeReader, give_up_at: Instant) -> std::io::Result<Option<String>> {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    // Ends at give_up_at, or at the program's end.
    loop {
        let left = give_up_at.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let count = output.read(&mut buffer)?;
        if count == 0 {
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
        let room = OUTPUT_BYTES_MAX - text.len();
        text.extend_from_slice(&buffer[..count.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn shell(text: &str, script: &str, deadline: Duration) -> Result<String, NftError> {
        run_by(Command::new("sh").args(["-c", text]), script, deadline)
    }

    #[test]
    fn a_script_goes_in_and_the_output_comes_back() {
        let script = "add table inet plexus\n".repeat(100_000);
        assert_eq!(shell("cat", &script, LONG).unwrap(), script);
    }

    #[test]
    fn a_refusal_repeats_the_errors_and_a_missing_program_names_its_package() {
        let refused =
            shell("echo noise; echo Error: no such chain >&2; exit 1", "", LONG).unwrap_err().to_string();
        assert!(refused.contains("Error: no such chain") && !refused.contains("noise"), "{refused}");
        let missing = run_by(&mut Command::new("/no/such/nft"), "", LONG).unwrap_err().to_string();
        assert!(missing.contains("package nftables"), "{missing}");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        assert!(matches!(shell("exec sleep 600", "", Duration::from_millis(20)), Err(NftError::Deadline(_))));
    }
}
