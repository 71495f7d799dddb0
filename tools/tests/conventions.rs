//! The conventions that all tools share, from outside: parts, endings, progress, the list of tools.
//!
//! Not beside the code: the library would be compiled once more for them.

use std::io;
use std::path::Path;

use obverse::store;
use obverse_tools::exit::{conclude, message};
use obverse_tools::interrupt::Interrupted;
use obverse_tools::{Failure, Progress, Shard, TOOLS};
use proptest::prelude::*;

#[test]
fn what_is_no_part_is_refused() {
    for text in ["", "1", "0/3", "4/3", "1/0", "-1/3", "a/b", "1/2/3"] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
    assert_eq!(Shard::default().rows(7), 0..7);
}

proptest! {
    #[test]
    fn the_parts_concatenate_to_the_whole(total in any::<usize>(), count in 1usize..200) {
        let mut next = 0;
        for index in 1..=count {
            let shard: Shard = format!("{index}/{count}").parse().unwrap();
            let rows = shard.rows(total);
            prop_assert_eq!(rows.start, next);
            prop_assert!(rows.len() == total / count || rows.len() == total / count + 1);
            next = rows.end;
        }
        prop_assert_eq!(next, total);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("layer conv1")]
struct Wrapped(#[from] store::Error);

fn wrapped(error: store::Error) -> anyhow::Error {
    anyhow::Error::new(Wrapped(error)).context("net")
}

#[test]
fn each_error_has_its_exit_code_however_deep_it_lies() {
    let path = Path::new("a.npy");
    let full = store::Error::write(path)(io::ErrorKind::StorageFull.into());
    assert_eq!(conclude(&wrapped(full)), 1);
    let missing = store::Error::read(path)(io::ErrorKind::NotFound.into());
    assert_eq!(conclude(&wrapped(missing)), 2);
    // The reader of standard output may leave. A file has none.
    let closed = |path: &str| store::Error::write(Path::new(path))(io::ErrorKind::BrokenPipe.into());
    assert_eq!([closed("-"), closed("a.npy")].map(|error| conclude(&wrapped(error))), [0, 1]);
    assert_eq!(conclude(&anyhow::Error::new(Failure("the loss is NaN".into())).context("epoch 3")), 1);
    assert_eq!(conclude(&anyhow::Error::new(Interrupted)), 130);
    assert_eq!(conclude(&anyhow::anyhow!("no such layer")), 2);
}

#[test]
fn causes_are_said_once_on_one_line() {
    let error = wrapped(store::Error::read(Path::new("a"))(io::Error::other("bad\nsector")));
    assert_eq!(message(&error), "net: layer conv1: a: cannot be read: bad sector");
}

#[test]
fn a_plain_line_tells_how_far_and_what_is_shown_beside_it() {
    let mut progress = Progress::new(10, "updates", true);
    progress.advance(3);
    progress.set_message("loss 0.5");
    let line = progress.line();
    assert!(line.starts_with("3/10 updates, ") && line.ends_with(" left loss 0.5"), "{line}");
}

#[test]
fn every_binary_is_a_tool_of_the_suite() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(TOOLS.iter().any(|tool| tool.name == name), "{name} is missing from TOOLS");
    }
}
