//! Every reader on what it once read wrongly, on its seeds, and on many mutations of both: it returns, soon, and in little memory.

use std::time::Duration;

use obverse_tests::readers::{READERS, Reader, mutated};
use rustix::time::{ClockId, clock_gettime};

/// Mutations of each input. `just fuzz` tries millions.
const MUTATIONS: u64 = 300;

/// The most processor time that one input may take: waiting for a disk that other tests use, or for a turn, is no fault of a reader.
const LONGEST: Duration = Duration::from_secs(5);

/// Memory that this process may come to hold, in kB: four times what a reader may ask for.
const MEMORY: u64 = 1 << 20;

/// Reads an input, which may be refused.
fn read(reader: &Reader, name: &str, bytes: &[u8]) {
    let started = processor_time();
    let _ = reader.read(bytes);
    let taken = processor_time().saturating_sub(started);
    assert!(taken < LONGEST, "{} on {name}: {taken:?}", reader.name);
}

/// What this thread has computed for.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time since the thread began")
}

#[test]
fn every_seed_is_read_without_an_error() {
    for reader in READERS {
        for (number, seed) in (reader.seeds)().iter().enumerate() {
            let outcome = reader.read(seed);
            assert!(outcome.is_ok(), "{}, seed {number}: {}", reader.name, outcome.unwrap_err());
        }
    }
}

#[test]
fn what_was_once_read_wrongly_is_read_or_refused() {
    for reader in READERS {
        for (name, bytes) in reader.regressions().expect("the checkout's files") {
            read(reader, &name, &bytes);
        }
    }
}

fn read_damaged(reader: &Reader) {
    for (number, seed) in (reader.seeds)().iter().enumerate() {
        for mutation in 0..MUTATIONS {
            read(reader, &format!("mutation {mutation} of seed {number}"), &mutated(seed, mutation));
        }
    }
}

#[test]
fn damaged_inputs_are_read_or_refused() {
    // At once, since most of the time passes in waiting for the disk.
    std::thread::scope(|scope| {
        for reader in READERS {
            scope.spawn(|| read_damaged(reader));
        }
    });
    let peak = peak_memory();
    assert!(peak < MEMORY, "the readers took {peak} kB at a time");
}

/// The most memory that this process has held, in kB; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0)
}
