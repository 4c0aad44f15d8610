//! Runs another program and reads its output.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};

use super::child::{Child, no_input};

/// Maximum length of a line in bytes; a longer line is split.
const LINE_BYTES: usize = 512;

/// How long a program may take to exit after SIGTERM before it is killed: 100 times 20 ms.
const EXIT_CHECKS: u32 = 100;
const EXIT_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A running program. Dropping this value terminates the program and waits until it has exited.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: File,
    line: [u8; LINE_BYTES],
    length: usize,
}

/// The next output of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A line.
    Line(String),
    /// No complete line yet.
    Nothing,
    /// No further output: the program has exited or closed it.
    End,
}

impl Process {
    /// Starts the first of `programs` that exists, with empty standard input. Its output goes to a non-blocking pipe;
    /// output beyond a full pipe is lost.
    pub fn start(programs: &[&str], arguments: &[String]) -> io::Result<Process> {
        let mut result = Err(io::ErrorKind::NotFound.into());
        for program in programs {
            result = Process::start_one(program, arguments);
            if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::NotFound) {
                break;
            }
        }
        result
    }

    fn start_one(program: &str, arguments: &[String]) -> io::Result<Process> {
        let (output, input) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        let child = Child::spawn(program, &arguments, [no_input()?, Some(input.try_clone()?), Some(input)])?;
        Ok(Process { child, output: output.into(), line: [0; LINE_BYTES], length: 0 })
    }

    /// The next complete line, without white space at its end.
    pub fn read_line(&mut self) -> io::Result<Output> {
        loop {
            let received = &self.line[..self.length];
            if let Some(end) = received.iter().position(|byte| *byte == b'\n') {
                return Ok(Output::Line(self.pop_line(end, end + 1)));
            }
            if self.length == LINE_BYTES {
                return Ok(Output::Line(self.pop_line(LINE_BYTES, LINE_BYTES)));
            }
            match self.output.read(&mut self.line[self.length..]) {
                Ok(0) if self.length > 0 => return Ok(Output::Line(self.pop_line(self.length, self.length))),
                Ok(0) => return Ok(Output::End),
                Ok(more) => self.length += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Output::Nothing),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn pop_line(&mut self, end: usize, next: usize) -> String {
        let line = String::from_utf8_lossy(&self.line[..end]).trim_end().to_owned();
        self.line.copy_within(next..self.length, 0);
        self.length -= next;
        line
    }

    /// Sends SIGTERM. Does not wait.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Sends SIGKILL. Does not wait.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// The exit status as text, or `None` while the program runs. Does not wait.
    pub fn exit_status(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(status) => status.map(|status| status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Sends SIGTERM, then SIGKILL after a time-out, waits for the program and returns its exit status.
    fn stop(&mut self) -> String {
        self.terminate();
        for _ in 0..EXIT_CHECKS {
            if let Some(status) = self.exit_status() {
                return status;
            }
            std::thread::sleep(EXIT_CHECK_INTERVAL);
        }
        self.kill();
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    fn signal(&self, signal: Signal) {
        // The process id stays valid until the child is reaped, and a signal to an exited child does nothing.
        _ = kill(self.child.pid(), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}

/// Terminates every process in this network namespace that is called `name` and has `words` among its arguments in that
/// order: processes that a killed daemon left behind. Returns how many it terminated.
pub fn terminate_orphans(name: &str, words: &[&str]) -> io::Result<usize> {
    let mut terminated = 0;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let Some(pid) = pid.filter(|_| matches(&path, name, words)) else { continue };
        terminated += 1;
        terminate_one(Pid::from_raw(pid), || matches(&path, name, words));
    }
    Ok(terminated)
}

/// Whether the process of a directory in /proc matches `name` and `words`; an exited process does not.
fn matches(path: &Path, name: &str, words: &[&str]) -> bool {
    let namespace = |process: &Path| fs::read_link(process.join("ns/net")).ok();
    if namespace(path).is_none_or(|theirs| Some(theirs) != namespace(Path::new("/proc/self"))) {
        return false;
    }
    let read = |file| fs::read(path.join(file)).unwrap_or_default();
    let arguments = read("cmdline");
    let mut arguments = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().into_iter();
    read("comm").trim_ascii_end() == name.as_bytes() && words.iter().all(|word| arguments.any(|other| other == *word))
}

fn terminate_one(pid: Pid, is_running: impl Fn() -> bool) {
    for step in 0..=EXIT_CHECKS {
        let signal = if step == EXIT_CHECKS { Signal::SIGKILL } else { Signal::SIGTERM };
        if (step == 0 || step == EXIT_CHECKS) && kill(pid, signal) == Err(Errno::ESRCH) {
            return;
        }
        std::thread::sleep(EXIT_CHECK_INTERVAL);
        if !is_running() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::sys::epoll::Poll;

    fn shell(script: &str) -> Process {
        Process::start(&["/nonexistent/sh", "sh"], &["-c".into(), script.into()]).unwrap()
    }

    fn all(process: &mut Process) -> Vec<String> {
        let mut poll = Poll::new().unwrap();
        poll.add(&*process, 0).unwrap();
        let mut lines = Vec::new();
        loop {
            match process.read_line().unwrap() {
                Output::Line(line) => lines.push(line),
                Output::Nothing => _ = poll.wait().unwrap().count(),
                Output::End => return lines,
            }
        }
    }

    #[test]
    fn every_line_is_read() {
        let mut process = shell("echo one; echo two >&2; sleep 0.1; printf 'three\\n\\n'; printf '%0600d' 7");
        let lines = all(&mut process);
        let seven = format!("{}7", "0".repeat(599));
        assert_eq!(lines, ["one", "two", "three", "", &seven[..512], &seven[512..]]);
        assert_eq!(process.stop(), "exit status: 0");
    }

    #[test]
    fn a_program_that_ignores_sigterm_is_killed() {
        let mut process = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
        let mut poll = Poll::new().unwrap();
        poll.add(&process, 0).unwrap();
        assert_eq!(poll.wait().unwrap().count(), 1);
        assert_eq!(process.read_line().unwrap(), Output::Line("ready".into()));
        assert_eq!(process.stop(), "signal: 9 (SIGKILL)");
    }

    #[test]
    fn orphans_are_found_by_their_arguments() {
        let word = format!("millpond-orphan-{}", std::process::id());
        let start = |words: &[&str]| {
            let mut command = Command::new("sh");
            let child = command.args(["-c", "read nothing"]).args(words).stdin(Stdio::piped()).spawn().unwrap();
            // spawn() may return a little before /proc shows the new program.
            while !matches(Path::new(&format!("/proc/{}", child.id())), "sh", words) {
                std::thread::sleep(Duration::from_millis(1));
            }
            child
        };
        let (mut orphan, mut other) = (start(&["--dev", &word]), start(&[&word]));
        // A zombie has no arguments, so it counts as exited.
        assert_eq!(terminate_orphans("sh", &["--dev", &word]).unwrap(), 1);
        assert!(!orphan.wait().unwrap().success());
        assert_eq!(other.try_wait().unwrap(), None);
        kill(Pid::from_raw(other.id() as i32), Signal::SIGKILL).unwrap();
        other.wait().unwrap();
        assert_eq!(Process::start(&["/nonexistent/sh"], &[]).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
