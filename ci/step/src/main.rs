//! `ci-step [TASK.json]`: runs one step. See the crate.

fn main() -> std::process::ExitCode {
    ci_step::main(std::env::args().nth(1).as_deref())
}
