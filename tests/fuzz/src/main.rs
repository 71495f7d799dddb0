//! `just fuzz MINUTES [READER…]`: libFuzzer on every reader of `obverse_tests::readers`, with the time divided among them.
//!
//! This one program is both: with the reader's name in `OBVERSE_READER` it is libFuzzer for that reader, otherwise it starts itself so
//! for one reader after another.

#![no_main]

mod campaign;

use std::sync::OnceLock;

use obverse_tests::readers::{READERS, Reader};

/// The environment variable that names the reader.
const READER: &str = "OBVERSE_READER";

static CHOSEN: OnceLock<Reader> = OnceLock::new();

/// The reader that this process is to fuzz; without one it runs the campaign and ends.
fn choose() {
    let named = std::env::var(READER).ok().and_then(|name| READERS.into_iter().find(|reader| reader.name == name));
    match named {
        Some(reader) => drop(CHOSEN.set(reader)),
        None => std::process::exit(campaign::run()),
    }
}

libfuzzer_sys::fuzz_target!(
    init: {
        choose();
    },
    |bytes: &[u8]| {
        if let Some(reader) = CHOSEN.get() {
            let _ = reader.read(bytes);
        }
    }
);
