//! The demo.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    // The gateway of the demo and of the tests is this very program: one build, the real daemon.
    if args.get(1).is_some_and(|first| first == "gateway") {
        return daemon::cli::main_with(args.into_iter().skip(1));
    }
    ExitCode::SUCCESS
}
