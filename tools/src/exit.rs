//! How a tool ends. 0: done, or the reader of its output has left; 1: a failed check or run (a full disk, an unwritable
//! output, divergence); 2: bad usage or bad input; 130: interrupted. Errors are one line on standard error.

use std::borrow::Cow;
use std::io::{self, Write, stderr};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::error::ErrorKind;
use clap_complete::CompleteEnv;
use obverse::store;
use obverse::tensor::device;

use crate::interrupt::Interrupted;
use crate::request::Request;
use crate::wording::Flags;

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 2;
const INTERRUPTED: u8 = 130;
/// Bytes of a thread's stack: what a program's first thread has.
const STACK: usize = 8 << 20;

static TOOL: OnceLock<&str> = OnceLock::new();
static FLAGS: OnceLock<Flags> = OnceLock::new();

/// The name of the running tool.
pub fn tool_name() -> &'static str {
    TOOL.get().copied().unwrap_or("obverse")
}

/// A check or a run that failed though its input was good, such as training that diverged: exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// Parses the arguments, runs the tool, and turns what comes of it into a line and an exit code.
pub fn run_tool<A: clap::Parser + Send>(name: &'static str, run: fn(A) -> anyhow::Result<()>) -> ExitCode {
    TOOL.get_or_init(|| name);
    // Where a shell asks for completions, they are all that this process gives.
    CompleteEnv::with_factory(move || A::command().name(name)).bin(name).complete();
    obverse::tensor::memory::keep_pages();
    std::panic::set_hook(Box::new(report_panic));
    let outcome = catch_unwind(AssertUnwindSafe(|| match parse::<A>(name) {
        Ok((arguments, threads)) => in_pool(threads, || run(arguments)).map_or_else(|error| conclude(&error), |()| 0),
        Err(error) => conclude_usage(&error),
    }));
    // The hook has said what happened, except where a device failed.
    ExitCode::from(outcome.unwrap_or_else(|payload| {
        if let Some(line) = device::failure(&*payload) {
            complain(&line);
        }
        FAILED
    }))
}

/// The arguments of this process, and the threads they ask for. The manuals live in the library, so the tool's name is given here.
fn parse<A: clap::Parser>(name: &'static str) -> Result<(A, Option<NonZeroUsize>), clap::Error> {
    let mut command = A::command().name(name);
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Request::of(&command, &matches).set_current();
    FLAGS.get_or_init(|| Flags::of(&command, &matches));
    let lowest = std::iter::successors(Some(&matches), |matches| Some(matches.subcommand()?.1)).last();
    let threads = lowest.and_then(|matches| matches.try_get_one("threads").ok()?.copied());
    let memory = lowest.and_then(|matches| matches.try_get_one("memory").ok()?.copied());
    if lowest.is_some_and(|matches| matches!(matches.try_get_one::<bool>("rehash"), Ok(Some(true)))) {
        obverse::store::index::reread();
    }
    if let Some(bytes) = memory {
        obverse::store::budget::set_limit(bytes);
    }
    Ok((A::from_arg_matches(&matches)?, threads))
}

/// Runs a tool in one of the threads that compute: from outside, each operation would wait for one of them to wake up.
fn in_pool<T: Send>(threads: Option<NonZeroUsize>, run: impl FnOnce() -> T + Send) -> T {
    let count = threads.map_or(0, NonZeroUsize::get);
    // It fails only when a pool runs already, and then that pool serves.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(count).stack_size(STACK).build_global();
    rayon::scope(|_| run())
}

fn report_panic(panic: &PanicHookInfo<'_>) {
    // A device's library panics where it fails: that becomes an error of its own.
    if device::is_trying() {
        return;
    }
    let place = panic.location().map(|location| format!(" at {location}")).unwrap_or_default();
    let payload = panic.payload();
    let formatted = payload.downcast_ref::<String>().map(String::as_str);
    let message = formatted.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    complain(&format!("internal error{place}: {message}; please report it"));
}

/// Says a line on standard error. Where nobody can hear it (a reader that has left, a full disk) the run goes on.
pub fn say(line: &str) {
    let line = format!("{}: {}\n", tool_name(), escaped(line));
    let _ = stderr().write_all(line.as_bytes());
}

/// A text with its control characters shown, so that no name of a file rules the terminal.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

fn complain(message: &str) {
    say(&format!("error: {}", one_line(message)));
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Help and version go to standard output; anything else wrong with the arguments is one line.
fn conclude_usage(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        // A reader that has left is no error.
        let _ = error.print();
        return 0;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        complain(&format!("expected a command; {} --help lists them", tool_name()));
        return BAD_INPUT;
    }
    let text = error.render().to_string();
    let before_usage = text.split("\nUsage:").next().unwrap_or(&text);
    let message = before_usage.split("\nFor more information").next().unwrap_or(before_usage);
    complain(&format!("{}; see {} --help", one_line(message.trim_start_matches("error: ")), tool_name()));
    BAD_INPUT
}

/// Says an error on standard error, unless the reader of the output has left, and gives its exit code.
pub fn conclude(error: &anyhow::Error) -> u8 {
    if is_broken_pipe(error) {
        return 0;
    }
    let code = exit_code(error);
    let message = message(error);
    complain(&FLAGS.get().map_or_else(|| message.clone(), |flags| flags.reword(&message)));
    code
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    // The store knows which of its files are pipes.
    match error.chain().find_map(|cause| cause.downcast_ref::<store::Error>()) {
        Some(error) => error.is_broken_pipe(),
        None => error.chain().any(|cause| {
            cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        }),
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Interrupted>() {
            return INTERRUPTED;
        }
        if cause.is::<Failure>() || cause.downcast_ref::<store::Error>().is_some_and(store::Error::is_output) {
            return FAILED;
        }
    }
    BAD_INPUT
}

/// The error and its causes on one line, each said once: many a message already holds its cause.
pub fn message(error: &anyhow::Error) -> String {
    let message = error.chain().map(ToString::to_string).fold(String::new(), |message, cause| {
        if message.is_empty() {
            cause
        } else if message.contains(&cause) {
            message
        } else {
            format!("{message}: {cause}")
        }
    });
    one_line(&message)
}
