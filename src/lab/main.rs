//! Parses arguments and chooses the subcommand.
fn main() {}
