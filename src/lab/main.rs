//! `millpond-lab`: parses arguments, runs the command, chooses the exit code.

fn main() -> std::process::ExitCode {
    millpond::sys::signal::end_with_the_reader();
    millpond::lab::cli::main()
}
