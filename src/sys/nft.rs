//! nftables through the `nft` program: one transaction in, one listing out.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use crate::apply::Cause;
use crate::plan::nft::{TableName, TableText, digest};

/// Puts `table` in the place of the one that is there, whole or not at all. How nft prints it is learnt beforehand,
/// from a dormant draft.
pub(super) fn replace(table: &TableText) -> Result<(), Cause> {
    load(&table.draft())?;
    let draft = table.draft_name();
    let replaced = succeeded(run(&["-s", "list", "table", "inet", &draft], "")?)
        .and_then(|listing| load(&table.transaction(&digest(&listing))));
    if replaced.is_err() {
        // Without effect on packets, and replaced by the next draft anyway.
        _ = run(&["delete", "table", "inet", &draft], "");
    }
    replaced
}

/// Removes the draft that a process left which was ended on its way through [`replace`].
pub(super) fn discard_draft(name: TableName) {
    // Without effect on packets, and seldom there.
    _ = run(&["delete", "table", "inet", &format!("{name}_draft")], "");
}

/// The flow tables of all tables.
pub(super) fn list_flow_tables() -> Result<String, Cause> {
    succeeded(run(&["list", "flowtables"], "")?)
}

/// Everything that is loaded, others' tables too.
pub fn list_all() -> Result<String, Cause> {
    succeeded(run(&["-n", "list", "ruleset"], "")?)
}

/// Checks that the kernel would take `text`, a transaction.
pub fn check(text: &str) -> Result<(), Cause> {
    run(&["-c", "-f", "-"], text).and_then(succeeded).map(|_| ())
}

/// Removes the table.
pub(super) fn delete(name: TableName) -> Result<(), Cause> {
    run(&["delete", "table", "inet", name.as_str()], "").and_then(succeeded).map(|_| ())
}

/// The table as it is, if it is.
pub(super) fn list(name: TableName) -> Result<Option<TableText>, Cause> {
    let listing = run(&["-s", "list", "table", "inet", name.as_str()], "")?;
    if listing.status.success() {
        return Ok(Some(TableText::from_listing(name, &String::from_utf8_lossy(&listing.stdout))));
    }
    // Where nftables itself is missing nft says so in other words, and so does whatever comes next.
    let is_absent = String::from_utf8_lossy(&listing.stderr).contains("No such file or directory");
    if is_absent { Ok(None) } else { succeeded(listing).map(|_| None) }
}

/// Does all of `transaction` or nothing.
pub(super) fn load(transaction: &str) -> Result<(), Cause> {
    run(&["-f", "-"], transaction).and_then(succeeded).map(|_| ())
}

fn run(arguments: &[&str], input: &str) -> Result<Output, Cause> {
    let try_path = |path| -> io::Result<Output> {
        let mut child = Command::new(path)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // nft reads everything before it writes, so there is no knot to tie here; a closed pipe shows in its status.
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output()?;
        written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
        Ok(output)
    };
    match try_path("nft") {
        // Not on the path of a user's shell.
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
    let said = stderr.lines().next().unwrap_or("no message").trim();
    let missing = ["No such file or directory", "not supported", "Protocol not supported"];
    if missing.iter().any(|text| said.contains(text)) {
        return Err(Cause::missing(format!("nft: {said}: a kernel part may be missing"), "kmod-nft-core kmod-nft-nat"));
    }
    Err(format!("nft: {said}").into())
}
