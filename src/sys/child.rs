//! Starts other programs, and waits for them.
//!
//! `std::process::Command` does the same in three times the code, most of it for environments and streams that millpond
//! does not need.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A program that was started.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// Set once the child has been reaped.
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts `program`, looked up in `PATH` if it has no slash, with the environment of this process except that its
    /// messages are in English. `streams` become its standard input, output and error output; `None` leaves it this
    /// process's own.
    pub fn spawn(program: &str, arguments: &[&OsStr], streams: [Option<OwnedFd>; 3]) -> io::Result<Child> {
        let program = CString::new(program)?;
        let mut words = vec![program.clone()];
        for argument in arguments {
            words.push(CString::new(argument.as_bytes())?);
        }
        let mut actions = PosixSpawnFileActions::init()?;
        for (stream, number) in streams.iter().zip(0..) {
            if let Some(stream) = stream {
                actions.add_dup2(stream.as_raw_fd(), number)?;
            }
        }
        // The daemon blocks signals, and Rust's runtime ignores SIGPIPE. Neither may pass to other programs.
        let mut attributes = PosixSpawnAttr::init()?;
        let mut ignored = SigSet::empty();
        ignored.add(Signal::SIGPIPE);
        attributes.set_sigdefault(&ignored)?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        let pid = posix_spawnp(&program, &actions, &attributes, &words, &environment())?;
        Ok(Child { pid, status: None })
    }

    /// The process id. It stays valid until one of the functions below has returned a status.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The exit status, or `None` while the program runs. Does not wait.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.reap(WaitPidFlag::WNOHANG)
    }

    /// Waits until the program has exited.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.reap(WaitPidFlag::empty())? {
                return Ok(status);
            }
        }
    }

    fn reap(&mut self, flags: WaitPidFlag) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            // As wait(2) encodes a status.
            self.status = match waitpid(self.pid, Some(flags)) {
                Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code << 8)),
                Ok(WaitStatus::Signaled(_, signal, has_core)) => {
                    Some(ExitStatus::from_raw(signal as i32 | i32::from(has_core) << 7))
                }
                Ok(_) | Err(Errno::EINTR) => None,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(self.status)
    }
}

/// Opens an empty input.
pub fn no_input() -> io::Result<Option<OwnedFd>> {
    Ok(Some(File::open("/dev/null")?.into()))
}

/// This process's environment, except for `LC_ALL`.
fn environment() -> Vec<CString> {
    let mut result = vec![c"LC_ALL=C".to_owned()];
    for (name, value) in std::env::vars_os().filter(|(name, _)| name != "LC_ALL") {
        let text = [name.into_vec(), value.into_vec()].join(&b'=');
        result.extend(CString::new(text));
    }
    result
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;

    fn shell(script: &str, streams: [Option<OwnedFd>; 3]) -> Child {
        Child::spawn("sh", &["-c".as_ref(), script.as_ref()], streams).unwrap()
    }

    #[test]
    fn a_status_reads_as_that_of_the_standard_library() {
        for script in ["true", "exit 3", "kill -9 $$", "kill -TERM $$"] {
            let mut std = std::process::Command::new("sh");
            let expected = std.args(["-c", script]).status().unwrap();
            let mut child = shell(script, [None, None, None]);
            let status = child.wait().unwrap();
            assert_eq!((status, status.to_string()), (expected, expected.to_string()), "{script}");
            assert_eq!(child.try_wait().unwrap(), Some(expected), "{script}: asked again");
        }
    }

    #[test]
    fn streams_environment_and_signals_are_those_of_a_new_program() {
        let blocked = SigSet::from(Signal::SIGUSR1);
        blocked.thread_block().unwrap();
        let (output, stdout) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let script = "cat; echo \"$LC_ALL\"; [ \"$PATH\" ] && grep -E 'Sig(Blk|Ign)' /proc/self/status";
        let mut child = shell(script, [no_input().unwrap(), Some(stdout), None]);
        let mut text = String::new();
        File::from(output).read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        let (first, signals) = text.split_once('\n').unwrap();
        assert_eq!(first, "C");
        let bits = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        let [masked, ignored] = [0, 1].map(|index| bits(signals.lines().nth(index).unwrap()));
        assert_eq!((masked, ignored & 1 << (Signal::SIGPIPE as i32 - 1)), (0, 0), "{signals}");
    }

    #[test]
    fn a_program_that_is_missing_is_told_apart() {
        let error = Child::spawn("/nonexistent/program", &[], [None, None, None]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = Child::spawn("sh", &[OsStr::from_bytes(b"a\0b")], [None, None, None]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
