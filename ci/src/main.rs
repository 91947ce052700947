//! `cargo ci`: see `cargo ci --help`. A Dagger engine starts the same program with an argument of its own.

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(ci::module::ARGUMENT) => ci::module::main(),
        _ => ci::cli::main(),
    }
}
