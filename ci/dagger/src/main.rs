//! What a Dagger engine starts: the module with the argument `dagger`, one step with `run-step`, and in containers that
//! look at a checkout the command line of `cargo ci`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some(ci_dagger::module::ARGUMENT) => ci_dagger::module::main(),
        Some(ci::run::local::WORKER) => ci_step::main(words.next().as_deref()),
        _ => ci::front::main(),
    }
}
