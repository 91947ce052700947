//! `cargo ci`: see `cargo ci --help`.

fn main() -> std::process::ExitCode {
    ci::cli::main()
}
