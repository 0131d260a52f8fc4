//! Benches. Every figure stands beside a bare baseline of the same run: ratios mean something, absolutes do not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on says where")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

mod intake;
mod limits;
mod load;
mod parsing;
mod persons;
mod whole;

use std::process::ExitCode;

use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|first| first == "gateway") {
        return hil_tests::gateway::process(args.into_iter().skip(1));
    }
    let runtime = Runtime::new().unwrap();
    if let Some(n) = option(&args, "--persons") {
        persons::persons(n);
        return ExitCode::SUCCESS;
    }
    if let Some(messages) = option(&args, "--backlog") {
        whole::backlog(&runtime, messages);
        return ExitCode::SUCCESS;
    }
    limits::medium();
    parsing::parsing();
    let bare = runtime.block_on(intake::intake(true));
    let real = runtime.block_on(intake::intake(false));
    println!("\nDurable acknowledgement, ORU of 10 results, buffer alone");
    println!("connections   bare msg/s   real msg/s   ratio    bare p50    real p50   ratio    real p99");
    for ((n, bare), (_, real)) in bare.iter().zip(&real) {
        println!(
            "{n:>11}   {:>10.0}   {:>10.0}   {:>5.2}   {:>6.2} ms   {:>6.2} ms   {:>5.2}   {:>6.2} ms",
            bare.rate,
            real.rate,
            real.rate / bare.rate,
            bare.p50,
            real.p50,
            real.p50 / bare.p50,
            real.p99
        );
    }
    whole::whole(&runtime, bare[2].1.rate);
    ExitCode::SUCCESS
}

/// `--backlog N`: how the gateway does with so many captures waiting. `--persons N`: with so many persons in its index.
fn option(args: &[std::ffi::OsString], name: &str) -> Option<usize> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1)?.to_str()?.parse().ok()
}
