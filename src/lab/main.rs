//! `millpond-lab`: parses the arguments, runs the command and returns its exit code.

fn main() -> std::process::ExitCode {
    millpond::sys::signal::reset_sigpipe();
    millpond::lab::cli::main()
}
