//! `millpond-lab`: parses arguments, runs the command, chooses the exit code.

fn main() -> std::process::ExitCode {
    millpond::sys::signal::reset_sigpipe();
    millpond::lab::cli::main()
}
