//! What a Dagger engine starts: the module, with the argument `dagger`; in containers, under the name `ci-step`, the worker;
//! otherwise the command line of `cargo ci`.

use std::process::ExitCode;

use ci_dagger::{engine::environment::WORKER, module};

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let first = words.next();
    if name.rsplit('/').next() == Some(WORKER) {
        return ci_step::main(first.as_deref());
    }
    match first.as_deref() {
        Some(module::ARGUMENT) => module::main(),
        Some(ci::run::local::WORKER) => ci_step::main(None),
        _ => ci::front::main(),
    }
}
