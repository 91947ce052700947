//! `cargo ci`: see `cargo ci --help`. The engine of this machine starts the same program as its worker.

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(ci::run::local::WORKER) => ci_step::main(None),
        _ => ci::front::main(),
    }
}
