//! One reader after another, each for its share of the time, and a table of what came of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use obverse_tests::readers::{READERS, Reader};

use crate::{CURRENT, READER};

/// The longest that one input may take, in seconds: instrumented code on a machine that does other things too.
const LONGEST: u64 = 10;

/// Memory that a process may hold, in MB.
const MEMORY: u64 = 1024;

/// What libFuzzer tells at its end; a number that it does not tell is 0.
struct Report {
    executions: u64,
    edges: u64,
    peak: u64,
    /// The input that broke the reader.
    found: Option<PathBuf>,
}

/// Runs what the command line asks for, and returns the exit code.
pub fn run() -> i32 {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let minutes = arguments.first().and_then(|text| text.parse::<f64>().ok()).filter(|minutes| *minutes > 0.0);
    let names = arguments.get(1..).unwrap_or_default();
    let is_asked = |reader: &&Reader| names.is_empty() || names.iter().any(|name| name == reader.name);
    let readers: Vec<Reader> = READERS.iter().filter(is_asked).copied().collect();
    let (Some(minutes), false) = (minutes, readers.is_empty()) else {
        let known: Vec<&str> = READERS.iter().map(|reader| reader.name).collect();
        eprintln!("expected MINUTES [READER...], found {arguments:?}; the readers are {}", known.join(", "));
        return 2;
    };
    let seconds = ((60.0 * minutes / readers.len() as f64) as u64).max(1);
    match campaign(&readers, seconds) {
        Ok(0) => 0,
        Ok(_) => 1,
        Err(error) => {
            eprintln!("the fuzzer cannot run: {error}");
            2
        }
    }
}

/// Fuzzes each reader for so many seconds; returns how many broke.
fn campaign(readers: &[Reader], seconds: u64) -> io::Result<usize> {
    println!("{:<20} {:>12} {:>10} {:>7} {:>8}  crash", "reader", "executions", "per second", "edges", "peak MB");
    let (mut total, mut broken) = (0, Vec::new());
    for reader in readers {
        let Report { executions, edges, peak, found } = fuzz(reader, seconds)?;
        total += executions;
        let crash = found.as_ref().map_or_else(|| "none".into(), |path| path.display().to_string());
        println!("{:<20} {executions:>12} {:>10} {edges:>7} {peak:>8}  {crash}", reader.name, executions / seconds);
        broken.extend(found.map(|path| (reader, path)));
    }
    println!("{:<20} {total:>12}", "all");
    for (reader, path) in &broken {
        let (name, folder) = (reader.name, reader.folder());
        println!("\n{name} broke; what it said ends {}", folder_of("logs").join(name).with_extension("log").display());
        println!(
            "add the input to the tests, mend the reader, and run `cargo test --package obverse-tests --test tests readers`:"
        );
        println!("    mkdir -p {0} && cp {1} {0}/a-name-that-says-what-it-is", folder.display(), path.display());
    }
    Ok(broken.len())
}

/// Where the corpora, the inputs that broke a reader and the logs are kept: nothing of it is committed.
fn folder_of(kind: &str) -> PathBuf {
    let checkout = obverse_tests::checkout();
    checkout.canonicalize().unwrap_or(checkout).join("target/fuzz").join(kind)
}

fn fuzz(reader: &Reader, seconds: u64) -> io::Result<Report> {
    let corpus = folder_of("corpus").join(reader.name);
    let crashes = folder_of("crashes").join(reader.name);
    let log = folder_of("logs").join(reader.name).with_extension("log");
    let current = std::env::temp_dir().join("current");
    for folder in [&corpus, &crashes, &folder_of("logs")] {
        fs::create_dir_all(folder)?;
    }
    for (number, seed) in (reader.seeds)().iter().enumerate() {
        fs::write(corpus.join(format!("seed-{number}")), seed)?;
    }
    let mut command = Command::new(std::env::current_exe()?);
    command
        .env(READER, reader.name)
        .env(CURRENT, &current)
        .arg(&corpus)
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?);
    command.args([format!("-max_total_time={seconds}"), format!("-max_len={}", reader.longest())]);
    command.args([format!("-timeout={LONGEST}"), format!("-rss_limit_mb={MEMORY}"), "-print_final_stats=1".into()]);
    // Regressions are tried first, and serve as a start as the corpus does.
    command
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .args(Some(reader.folder()).filter(|path| path.is_dir()));
    let status = command.status()?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let found =
        (!status.success()).then(|| artifact(&said).map_or_else(|| kept(&current, &crashes), Ok)).transpose()?;
    Ok(Report {
        executions: last(&said, "stat::number_of_executed_units:").max(last(&said, "#")),
        edges: last(&said, "cov:"),
        peak: last(&said, "stat::peak_rss_mb:"),
        found,
    })
}

/// The number after the last of a word that has one.
fn last(text: &str, word: &str) -> u64 {
    let number = |(place, _): (usize, &str)| {
        let after = text[place + word.len()..].trim_start_matches(' ');
        after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    text.rmatch_indices(word).find_map(number).unwrap_or(0)
}

/// The input that was being read when the process ended, put among those that broke the reader.
fn kept(current: &Path, crashes: &Path) -> io::Result<PathBuf> {
    let content = fs::read(current)?;
    let (length, bytes) = content.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    let path = crashes.join("ended-the-process");
    fs::write(&path, &bytes[..bytes.len().min(u64::from_le_bytes(*length) as usize)])?;
    Ok(path)
}

/// The input that libFuzzer has written.
fn artifact(text: &str) -> Option<PathBuf> {
    let line = text.lines().rev().find_map(|line| line.split_once("Test unit written to "))?;
    Some(Path::new(line.1).to_owned())
}
