//! `just fuzz MINUTES [READER…]`: libFuzzer on every reader of `obverse_tests::readers`, with the time divided among them.
//!
//! This one program is both: with the reader's name in `OBVERSE_READER` it is libFuzzer for that reader, otherwise it starts itself so
//! for one reader after another.

#![no_main]

mod campaign;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use obverse_tests::readers::{READERS, Reader};

/// The environment variable that names the reader.
const READER: &str = "OBVERSE_READER";

/// The environment variable that names the file of the input that is being read.
const CURRENT: &str = "OBVERSE_CURRENT";

static CHOSEN: OnceLock<(Reader, Option<File>)> = OnceLock::new();

/// The reader that this process is to fuzz; without one it runs the campaign and ends.
fn choose() {
    let named = std::env::var(READER).ok().and_then(|name| READERS.iter().find(|reader| reader.name == name).copied());
    match named {
        Some(reader) => {
            let current = std::env::var_os(CURRENT).and_then(|path| File::create(path).ok());
            drop(CHOSEN.set((reader, current)));
        }
        None => std::process::exit(campaign::run()),
    }
}

/// Keeps an input, after its length: where the stack overflows, libFuzzer can no longer write it.
fn keep(file: &File, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_le_bytes();
    let _ = file.write_all_at(&length, 0).and_then(|()| file.write_all_at(bytes, length.len() as u64));
}

libfuzzer_sys::fuzz_target!(
    init: {
        choose();
    },
    |bytes: &[u8]| {
        if let Some((reader, current)) = CHOSEN.get() {
            current.as_ref().map(|file| keep(file, bytes));
            let _ = reader.read(bytes);
        }
    }
);
