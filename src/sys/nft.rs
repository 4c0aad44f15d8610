//! nftables through the `nft` program: loads a transaction, or lists a table.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitStatus;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::child::Child;
use super::netlink::message::Body;
use super::netlink::socket::Netlink;
use crate::apply::Cause;
use crate::plan::nft::{TableName, TableText, digest};

/// What nft wrote until it exited.
struct Output {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Replaces a table atomically. A dormant draft is loaded first, to find out how nft lists the table.
pub(super) fn replace(table: &TableText) -> Result<(), Cause> {
    load(&table.draft())?;
    let draft = table.name.draft();
    let replaced =
        succeeded(run(&listing(&draft), "")?).and_then(|listing| load(&table.transaction(&digest(&listing))));
    if replaced.is_err() {
        // The draft has no effect on packets, and the next draft replaces it anyway.
        _ = load(&format!("delete table {draft}"));
    }
    replaced
}

/// As [`replace`], for the family `bridge`, which has a package of its own.
pub(super) fn replace_bridge(table: &TableText) -> Result<(), Cause> {
    replace(table).map_err(|cause| match cause.package {
        Some(_) => Cause::missing(cause.text, "kmod-nft-bridge"),
        None => cause,
    })
}

/// Removes the draft that a process left if it was killed during [`replace`].
pub(super) fn discard_draft(name: TableName) {
    // The draft has no effect on packets, and rarely exists.
    _ = load(&format!("delete table {}", name.draft()));
}

/// The listing of all flow tables.
pub(super) fn list_flow_tables() -> Result<String, Cause> {
    succeeded(run(&["list", "flowtables"], "")?)
}

/// The listing of the complete ruleset, including other programs' tables.
pub fn list_all() -> Result<String, Cause> {
    succeeded(run(&["-n", "list", "ruleset"], "")?)
}

/// Checks that the kernel would accept the transaction `text`.
pub fn check(text: &str) -> Result<(), Cause> {
    run(&["-c", "-f", "-"], text).and_then(succeeded).map(|_| ())
}

/// Removes the table.
pub(super) fn delete(name: TableName) -> Result<(), Cause> {
    load(&format!("delete table {name}"))
}

/// Whether the table is loaded. Asks the kernel directly, which takes less than starting `nft`.
pub(super) fn exists(name: TableName) -> bool {
    /// `NFT_MSG_GETTABLE` and `NFTA_TABLE_NAME` of include/uapi/linux/netfilter/nf_tables.h.
    const GET_TABLE: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | 1;
    const TABLE_NAME: u16 = 1;
    let family = if name.family() == "bridge" { libc::NFPROTO_BRIDGE } else { libc::NFPROTO_INET };
    let body = Body::new(&[family as u8, 0, 0, 0]).string(TABLE_NAME, name.as_str());
    let netlink = Netlink::open(libc::NETLINK_NETFILTER as isize);
    netlink.is_ok_and(|mut netlink| netlink.query(GET_TABLE, &body, |_| {}).is_ok())
}

/// A table as loaded; `None` if it does not exist.
pub(super) fn list(name: TableName) -> Result<Option<TableText>, Cause> {
    let listing = run(&listing(&name.to_string()), "")?;
    if listing.status.success() {
        return Ok(Some(TableText::from_listing(name, &String::from_utf8_lossy(&listing.stdout))));
    }
    // Without nftables in the kernel nft prints another error, and every later call fails too.
    let is_absent = String::from_utf8_lossy(&listing.stderr).contains("No such file or directory");
    if is_absent { Ok(None) } else { succeeded(listing).map(|_| None) }
}

/// The arguments that list a table, given by family and name.
fn listing(table: &str) -> Vec<&str> {
    ["-s", "list", "table"].into_iter().chain(table.split(' ')).collect()
}

/// Executes `transaction` completely or not at all.
pub(super) fn load(transaction: &str) -> Result<(), Cause> {
    run(&["-f", "-"], transaction).and_then(succeeded).map(|_| ())
}

fn run(arguments: &[&str], input: &str) -> Result<Output, Cause> {
    let arguments: &[&OsStr] = &arguments.iter().map(OsStr::new).collect::<Vec<_>>();
    let try_path = |path| -> io::Result<Output> {
        let (stdin, to_nft) = pipe2(OFlag::O_CLOEXEC)?;
        let (from_nft, stdout) = pipe2(OFlag::O_CLOEXEC)?;
        // Read after nft has exited, so that no one waits: messages beyond a full pipe are lost.
        let (errors, stderr) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let mut child = Child::spawn(path, arguments, [Some(stdin), Some(stdout), Some(stderr)])?;
        // nft reads all input before it writes, so this cannot deadlock; after a closed pipe its status shows the
        // error.
        let written = File::from(to_nft).write_all(input.as_bytes());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let read = File::from(from_nft).read_to_end(&mut stdout);
        let status = child.wait()?;
        // A program that another thread is starting may still hold the pipe open, but what nft wrote is there.
        _ = File::from(errors).read_to_end(&mut stderr);
        read?;
        written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
        Ok(Output { status, stdout, stderr })
    };
    match try_path("nft") {
        // A user's PATH may lack /usr/sbin.
        Err(error) if error.kind() == io::ErrorKind::NotFound => try_path("/usr/sbin/nft"),
        result => result,
    }
    .map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Cause::missing("nft is missing", "nftables"),
        _ => format!("cannot run nft: {error}").into(),
    })
}

fn succeeded(output: Output) -> Result<String, Cause> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let message = stderr.lines().next().unwrap_or("no message").trim();
    let missing = ["No such file or directory", "not supported", "Protocol not supported"];
    if missing.iter().any(|text| message.contains(text)) {
        return Err(Cause::missing(
            format!("nft: {message}: a kernel module may be missing"),
            "kmod-nft-core kmod-nft-nat",
        ));
    }
    Err(format!("nft: {message}").into())
}
