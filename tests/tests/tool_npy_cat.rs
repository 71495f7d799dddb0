//! `npy-cat`: parts joined, the cache, pipes, wrong inputs. Also what every tool shares: sidecars, exit codes, `again`.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use obverse::store::npy::{Reader, read, write};
use obverse::store::sidecar::Sidecar;
use obverse_tests::{names, run, run_with_input, shell, tool};

/// A folder with a.npy (2 rows), b.npy (1 row), of two f32 each.
fn parts() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.npy"), &[2, 2], &[0.0f32, 1.0, 2.0, 3.0]).unwrap();
    write(&folder.path().join("b.npy"), &[1, 2], &[4.0f32, 5.0]).unwrap();
    folder
}

fn joined(folder: &Path, name: &str) -> Vec<f32> {
    read::<f32>(&folder.join(name)).unwrap().into_raw_vec_and_offset().0
}

#[test]
fn parts_are_joined_in_order_and_the_sidecar_says_how() {
    let folder = parts();
    run(folder.path(), "npy-cat", "a.npy b.npy a.npy -o c.npy").succeeds();
    assert_eq!(joined(folder.path(), "c.npy"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 1.0, 2.0, 3.0]);
    let sidecar = Sidecar::read(&folder.path().join("c.npy.json")).unwrap();
    assert_eq!(sidecar.command, ["npy-cat", "a.npy", "b.npy", "a.npy", "-o", "c.npy"]);
    assert_eq!(sidecar.directory, ".");
    assert_eq!(sidecar.inputs[1].shape, Some(vec![1, 2]));
    assert_eq!(sidecar.output.shape, Some(vec![5, 2]));
    assert_eq!(sidecar.output.blake3, Reader::open(&folder.path().join("c.npy")).unwrap().digest().unwrap());
    assert_eq!(names(folder.path()), ["a.npy", "b.npy", "c.npy", "c.npy.json"]);
    // A process takes a megabyte and some time, and joining five rows neither a gigabyte nor a minute.
    assert!(sidecar.peak_memory_bytes.is_some_and(|bytes| (1_000_000..1_000_000_000).contains(&bytes)));
    assert!(sidecar.cpu_seconds.is_some_and(|seconds| seconds > 0.0 && seconds < 60.0));
}

#[test]
fn rows_and_a_head_are_kept_across_parts() {
    let folder = parts();
    for (words, expected) in [
        ("--head 3", &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0][..]),
        ("--head 9", &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        ("--head 0", &[]),
        ("--rows 1..3", &[2.0, 3.0, 4.0, 5.0]),
    ] {
        run(folder.path(), "npy-cat", &format!("a.npy b.npy {words} -o c.npy")).succeeds();
        assert_eq!(joined(folder.path(), "c.npy"), expected, "{words}");
    }
}

#[test]
fn a_second_run_is_fresh_until_something_changes() {
    let folder = parts();
    let again = || run(folder.path(), "npy-cat", "a.npy b.npy -o c.npy --explain").succeeds().stderr;
    assert!(again().contains("no usable sidecar"));
    assert!(again().contains("fresh"));
    assert!(!run(folder.path(), "npy-cat", "a.npy b.npy -o c.npy --force").succeeds().stderr.contains("fresh"));
    write(&folder.path().join("b.npy"), &[1, 2], &[7.0f32, 8.0]).unwrap();
    let explained = again();
    assert!(explained.contains("input b.npy changed") && !explained.contains("fresh"), "{explained}");
    assert_eq!(joined(folder.path(), "c.npy")[4..], [7.0, 8.0]);
    fs::write(folder.path().join("c.npy"), "damaged").unwrap();
    assert!(again().contains("output changed"));
    assert!(again().contains("fresh"));
}

#[test]
fn arrays_pass_through_pipes_and_compression() {
    let folder = parts();
    let piped = run(folder.path(), "npy-cat", "a.npy b.npy -o -").succeeds().stdout;
    let outcome = run_with_input(folder.path(), "npy-cat", "- -o c.npy.zst", &piped).succeeds();
    assert!(!outcome.stderr.contains("fresh"));
    assert_eq!(joined(folder.path(), "c.npy.zst"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    // What came through a pipe is digested, not cached.
    let sidecar = Sidecar::read(&folder.path().join("c.npy.zst.json")).unwrap();
    assert_eq!((sidecar.inputs[0].path.as_str(), &sidecar.inputs[0].shape), ("-", &Some(vec![3, 2])));
    let second = run_with_input(folder.path(), "npy-cat", "- -o c.npy.zst", &piped).succeeds();
    assert!(!second.stderr.contains("fresh"));
    run(folder.path(), "npy-cat", "c.npy.zst -o c.npy").succeeds();
    assert_eq!(fs::read(folder.path().join("c.npy")).unwrap(), piped);
}

#[test]
fn a_reader_that_leaves_ends_the_tool_quietly() {
    let folder = parts();
    // More than a pipe holds, so that writing must fail.
    write(&folder.path().join("a.npy"), &[1 << 18, 2], &vec![0.0f32; 1 << 19]).unwrap();
    let mut command = tool("npy-cat");
    command.args(["a.npy", "-o", "-", "--quiet"]).current_dir(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn metrics_are_one_json_object() {
    let folder = parts();
    for _ in 0..2 {
        let outcome = run(folder.path(), "npy-cat", "a.npy b.npy -o c.npy --json --quiet").succeeds();
        let metrics: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
        assert_eq!(metrics, serde_json::json!({"rows": 3, "parts": 2}));
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn a_wrong_input_is_one_line_and_leaves_nothing() {
    let folder = parts();
    let path = folder.path();
    write(&path.join("wide.npy"), &[1, 3], &[0.0f32; 3]).unwrap();
    write(&path.join("bytes.npy"), &[1, 2], &[0u8; 2]).unwrap();
    let whole = fs::read(path.join("a.npy")).unwrap();
    fs::write(path.join("short.npy"), &whole[..whole.len() - 1]).unwrap();
    let huge = String::from_utf8_lossy(&whole[10..128]).replace("(2, 2)", "(1000000000000,)");
    fs::write(path.join("huge.npy"), [&whole[..10], &huge.as_bytes()[..117], b"\n"].concat()).unwrap();
    fs::write(path.join("text.npy"), "this is not an array").unwrap();
    let before = names(path);
    for (arguments, words) in [
        ("a.npy missing.npy -o c.npy", &["missing.npy", "cannot be read"][..]),
        ("a.npy short.npy -o c.npy", &["short.npy", "truncated"]),
        ("huge.npy -o c.npy", &["huge.npy", "needs 4000000000000 bytes"]),
        ("text.npy -o c.npy", &["text.npy", "expected the bytes"]),
        ("a.npy wide.npy -o c.npy", &["wide.npy", "(N, 2)", "[1, 3]"]),
        ("a.npy bytes.npy -o c.npy", &["bytes.npy", "expected f32, found u8"]),
        ("a.npy -o - --json", &["--json", "-o -"]),
        ("a.npy", &["--output", "--help"]),
        ("a.npy -o c.npy --fast", &["--fast"]),
        ("a.npy -o c.npy --threads 0", &["--threads"]),
    ] {
        run(path, "npy-cat", arguments).fails(2, words);
    }
    run(path, "npy-cat", "a.npy -o missing/c.npy").fails(1, &["missing/c.npy", "cannot be written"]);
    run(path, "npy-cat", "a.npy -o /dev/full").fails(1, &["/dev/full", "No space"]);
    assert_eq!(names(path), before);
}

#[test]
fn again_runs_the_recorded_command_in_its_folder() {
    let folder = parts();
    let path = folder.path();
    fs::create_dir(path.join("out")).unwrap();
    run(path, "npy-cat", "a.npy b.npy -o out/c.npy").succeeds();
    fs::remove_file(path.join("out/c.npy")).unwrap();
    run(Path::new("/"), "obverse-again", path.join("out/c.npy").to_str().unwrap()).succeeds();
    assert_eq!(joined(path, "out/c.npy").len(), 6);
    let fresh = run(&path.join("out"), "obverse-again", "c.npy").succeeds();
    assert!(fresh.stderr.contains("fresh"), "{}", fresh.stderr);
    let forced = run(&path.join("out"), "obverse-again", "c.npy -- --force").succeeds();
    assert!(!forced.stderr.contains("fresh"), "{}", forced.stderr);
}

#[test]
fn again_runs_nothing_but_the_tools_of_the_suite() {
    let folder = parts();
    let path = folder.path();
    run(path, "npy-cat", "a.npy -o c.npy").succeeds();
    let sidecar = Sidecar::read(&path.join("c.npy.json")).unwrap();
    for name in ["touch", "/usr/bin/touch", "../debug/npy-cat"] {
        let command = vec![name.to_owned(), "pwned".to_owned()];
        Sidecar { command, ..sidecar.clone() }.write(&path.join("c.npy.json")).unwrap();
        run(path, "obverse-again", "c.npy").fails(2, &["c.npy.json", name]);
    }
    run(path, "obverse-again", "a.npy").fails(2, &["a.npy.json"]);
    assert!(!path.join("pwned").exists());
}

/// The most memory a process has held, in KiB, as far as Linux tells while it runs.
fn peak(process: u32) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_number_of_rows() {
    let folder = parts();
    write(&folder.path().join("large.npy"), &[128, 1 << 20], &vec![1u8; 1 << 27]).unwrap();
    let mut command = tool("npy-cat");
    command.args(["large.npy", "large.npy", "-o", "joined.npy", "--quiet"]).current_dir(folder.path());
    let mut child = command.spawn().unwrap();
    let mut highest = 0;
    while child.try_wait().unwrap().is_none() {
        highest = highest.max(peak(child.id()).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(Reader::open(&folder.path().join("joined.npy")).unwrap().shape(), [256, 1 << 20]);
    // Half of one part: what is held is a few blocks of 8 MiB.
    assert!((1 << 10..1 << 16).contains(&highest), "{highest} KiB");
}

#[test]
fn ten_thousand_parts_are_joined_with_few_open_files() {
    let folder = parts();
    let path = folder.path();
    write(&path.join("row.npy"), &[1, 2], &[1.0f32, 2.0]).unwrap();
    let command = "ulimit -n 256; npy-cat $(yes row.npy | head -10000) --quiet -o many.npy";
    assert!(shell(path, command).status().unwrap().success());
    assert_eq!(Reader::open(&path.join("many.npy")).unwrap().shape(), [10_000, 2]);
}
