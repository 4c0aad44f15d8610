//! A program that runs beside the daemon, and what it says.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};

/// A longer line is cut into several.
const LINE_BYTES: usize = 512;

/// How long a program may take to end before it is killed: 100 times 20 ms.
const ENDING_STEPS: u32 = 100;
const ENDING_STEP: Duration = Duration::from_millis(20);

/// A running program. Dropping it ends the program, and waits until it has ended.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: File,
    line: [u8; LINE_BYTES],
    length: usize,
}

/// What a program has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A line.
    Line(String),
    /// Nothing now.
    Nothing,
    /// Nothing any more: it has ended, or closed its output.
    End,
}

impl Process {
    /// Starts the first of `programs` that exists. Its standard input is empty. Nobody waits for its output to be read:
    /// what a full pipe does not take is lost.
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
        let child = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input)
            .spawn()?;
        Ok(Process { child, output: output.into(), line: [0; LINE_BYTES], length: 0 })
    }

    /// The next whole line, white space at its end cut off.
    pub fn read_line(&mut self) -> io::Result<Output> {
        loop {
            let known = &self.line[..self.length];
            if let Some(end) = known.iter().position(|byte| *byte == b'\n') {
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

    /// Asks it to end. Does not wait.
    pub fn ask_to_end(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends it without asking. Does not wait.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// How it ended, if it has. Does not wait.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(status) => status.map(|status| status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Asks it to end, kills it if it does not, waits for it, and says how it ended.
    fn end(&mut self) -> String {
        self.ask_to_end();
        for _ in 0..ENDING_STEPS {
            if let Some(how) = self.ended() {
                return how;
            }
            std::thread::sleep(ENDING_STEP);
        }
        self.kill();
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    fn signal(&self, signal: Signal) {
        // Its number is ours until we have waited for it, and one that has ended takes no harm.
        _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}

/// Ends every process of this network namespace that is named `name` and has `words` among its arguments, one after the
/// other: what a killed daemon left behind. Gives how many there were.
pub fn end_others(name: &str, words: &[&str]) -> io::Result<usize> {
    let mut ended = 0;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let Some(pid) = pid.filter(|_| is_that(&path, name, words)) else { continue };
        ended += 1;
        end_one(Pid::from_raw(pid), || is_that(&path, name, words));
    }
    Ok(ended)
}

/// Whether the process of that directory in /proc is the one meant; one that has ended is not.
fn is_that(path: &Path, name: &str, words: &[&str]) -> bool {
    let namespace = |process: &Path| fs::read_link(process.join("ns/net")).ok();
    if namespace(path).is_none_or(|theirs| Some(theirs) != namespace(Path::new("/proc/self"))) {
        return false;
    }
    let read = |file| fs::read(path.join(file)).unwrap_or_default();
    let arguments = read("cmdline");
    let mut arguments = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().into_iter();
    read("comm").trim_ascii_end() == name.as_bytes() && words.iter().all(|word| arguments.any(|other| other == *word))
}

fn end_one(pid: Pid, is_there: impl Fn() -> bool) {
    for step in 0..=ENDING_STEPS {
        let signal = if step == ENDING_STEPS { Signal::SIGKILL } else { Signal::SIGTERM };
        if (step == 0 || step == ENDING_STEPS) && kill(pid, signal) == Err(Errno::ESRCH) {
            return;
        }
        std::thread::sleep(ENDING_STEP);
        if !is_there() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn every_line_comes() {
        let mut process = shell("echo one; echo two >&2; sleep 0.1; printf 'three\\n\\n'; printf '%0600d' 7");
        let lines = all(&mut process);
        let seven = format!("{}7", "0".repeat(599));
        assert_eq!(lines, ["one", "two", "three", "", &seven[..512], &seven[512..]]);
        assert_eq!(process.end(), "exit status: 0");
    }

    #[test]
    fn who_does_not_end_is_killed() {
        let mut process = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
        let mut poll = Poll::new().unwrap();
        poll.add(&process, 0).unwrap();
        assert_eq!(poll.wait().unwrap().count(), 1);
        assert_eq!(process.read_line().unwrap(), Output::Line("ready".into()));
        assert_eq!(process.end(), "signal: 9 (SIGKILL)");
    }

    #[test]
    fn orphans_are_known_by_their_words() {
        let word = format!("millpond-orphan-{}", std::process::id());
        let start = |words: &[&str]| {
            let mut command = Command::new("sh");
            let child = command.args(["-c", "read nothing"]).args(words).stdin(Stdio::piped()).spawn().unwrap();
            // The kernel lets us go on a little before the new program can be seen.
            while !is_that(Path::new(&format!("/proc/{}", child.id())), "sh", words) {
                std::thread::sleep(Duration::from_millis(1));
            }
            child
        };
        let (mut meant, mut other) = (start(&["--dev", &word]), start(&[&word]));
        // A zombie has no words: it counts as ended.
        assert_eq!(end_others("sh", &["--dev", &word]).unwrap(), 1);
        assert!(!meant.wait().unwrap().success());
        assert_eq!(other.try_wait().unwrap(), None);
        kill(Pid::from_raw(other.id() as i32), Signal::SIGKILL).unwrap();
        other.wait().unwrap();
        assert_eq!(Process::start(&["/nonexistent/sh"], &[]).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
