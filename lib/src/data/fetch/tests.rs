use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::*;

const CONTENT: &[u8] = b"0123456789abcdefghij";

/// How the server of a test behaves at one request.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers in full, ranges too.
    Whole,
    /// Sends half of what it announces and hangs up.
    Half,
    /// Knows no ranges.
    Forgetful,
    /// Answers with this status.
    Status(u16),
    /// Sends twice what is expected.
    Doubled,
}

/// A server on this machine that answers one request in each manner and tells which range was asked.
fn serve(manners: Vec<Manner>) -> (String, Receiver<Option<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/file.bin", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for manner in manners {
            let (mut stream, _) = listener.accept().unwrap();
            let lines: Vec<String> = BufReader::new(stream.try_clone().unwrap())
                .lines()
                .map(|line| line.unwrap())
                .take_while(|line| !line.is_empty())
                .collect();
            let range = lines.iter().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok()
            });
            sender.send(range).unwrap();
            let start = range.unwrap_or(0).min(CONTENT.len());
            let (status, extra, body) = match manner {
                Manner::Status(status) => (status, String::new(), Vec::new()),
                Manner::Doubled => (200, String::new(), CONTENT.repeat(2)),
                Manner::Forgetful => (200, String::new(), CONTENT.to_vec()),
                _ if range.is_none() => (200, String::new(), CONTENT.to_vec()),
                _ => (206, format!("Content-Range: bytes {start}-19/20\r\n"), CONTENT[start..].to_vec()),
            };
            let head =
                format!("HTTP/1.1 {status} X\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let sent = if matches!(manner, Manner::Half) { body.len() / 2 } else { body.len() };
            stream.write_all(head.as_bytes()).unwrap();
            // A client that has seen enough may have left.
            let _ = stream.write_all(&body[..sent]);
        }
    });
    (address, receiver)
}

fn manifest(addresses: &[&str], sha256: &str) -> Manifest {
    let mut manifest = Manifest::named("cifar10").unwrap();
    manifest.files[0] = RemoteFile {
        name: "file.bin".into(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        mirror: "some/file.bin".into(),
        size: Some(20),
        sha256: sha256.into(),
        repacked_sha256: Vec::new(),
        unpacked_sha256: None,
        optional: false,
        if_there: false,
    };
    manifest
}

fn digest() -> String {
    sha256(CONTENT).unwrap()
}

fn fetch(manifest: &Manifest, downloads: &Path, recorded: &[SourceFile]) -> Result<Vec<Fetched>> {
    Request { manifest, downloads, mirror: None, all: false, recorded }.fetch(&mut |_, _, _| ())
}

#[test]
fn a_broken_download_is_continued_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (address, ranges) = serve(vec![Manner::Half, Manner::Whole]);
    let manifest = manifest(&[&address], &digest());
    assert!(fetch(&manifest, folder.path(), &[]).is_err());
    assert_eq!(fs::read(folder.path().join("file.bin.partial")).unwrap(), CONTENT[..10]);
    let fetched = fetch(&manifest, folder.path(), &[]).unwrap();
    assert_eq!(fs::read(&fetched[0].path).unwrap(), CONTENT);
    assert_eq!(fetched[0].source.verification.as_deref(), Some("verified"));
    assert_eq!(ranges.iter().take(2).collect::<Vec<_>>(), [None, Some(10)]);
    assert!(!folder.path().join("file.bin.partial").exists());
    // What is there is not fetched again: the server answers no more.
    assert_eq!(fetch(&manifest, folder.path(), &[]).unwrap()[0].path, fetched[0].path);
}

#[test]
fn a_server_without_ranges_is_read_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file.bin.partial"), "0123").unwrap();
    let (address, _ranges) = serve(vec![Manner::Forgetful]);
    let fetched = fetch(&manifest(&[&address], &digest()), folder.path(), &[]).unwrap();
    assert_eq!(fs::read(&fetched[0].path).unwrap(), CONTENT);
}

#[test]
fn a_wrong_digest_leaves_nothing_and_says_both() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _ranges) = serve(vec![Manner::Whole]);
    let wrong = "0".repeat(64);
    let error = fetch(&manifest(&[&address], &wrong), folder.path(), &[]).unwrap_err().to_string();
    assert!(error.contains(&wrong) && error.contains(&digest()), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_next_address_is_tried_and_a_flood_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _ranges) = serve(vec![Manner::Status(404)]);
    let (second, _ranges) = serve(vec![Manner::Doubled]);
    let (third, _ranges) = serve(vec![Manner::Whole]);
    let manifest = manifest(&[&first, &second, &third], &digest());
    assert_eq!(fetch(&manifest, folder.path(), &[]).unwrap()[0].source.address, Some(third));
    let (refused, _ranges) = serve(vec![Manner::Status(404)]);
    let empty = tempfile::tempdir().unwrap();
    let error = fetch(&super::tests::manifest(&[&refused], &digest()), empty.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("HTTP status 404"), "{error}");
}

#[test]
fn an_unpublished_digest_is_recorded_once_and_holds_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _ranges) = serve(vec![Manner::Whole]);
    let manifest = manifest(&[&address], UNVERIFIED);
    let fetched = fetch(&manifest, folder.path(), &[]).unwrap();
    assert_eq!(fetched[0].source.verification.as_deref(), Some("recorded"));
    fs::write(&fetched[0].path, "something else").unwrap();
    assert!(fetch(&manifest, folder.path(), &[fetched[0].source.clone()]).is_err());
}

#[test]
fn the_mirror_comes_first_and_a_file_compressed_otherwise_is_known_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("some");
    fs::create_dir(&mirror).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(CONTENT).unwrap();
    fs::write(mirror.join("file.bin"), packed.finish().unwrap()).unwrap();
    let mut manifest = manifest(&["http://127.0.0.1:1/file.bin"], &"0".repeat(64));
    let request = |manifest: &Manifest| {
        let request = Request { manifest, downloads: &mirror, mirror: Some(folder.path()), all: false, recorded: &[] };
        request.fetch(&mut |_, _, _| ())
    };
    assert!(request(&manifest).is_err());
    manifest.files[0].unpacked_sha256 = Some(digest());
    assert_eq!(request(&manifest).unwrap()[0].path, mirror.join("file.bin"));
}

#[test]
fn a_file_that_is_taken_where_it_lies_is_not_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = manifest(&[], &digest());
    manifest.files[0].if_there = true;
    assert_eq!(fetch(&manifest, folder.path(), &[]).unwrap(), []);
    fs::write(folder.path().join("file.bin"), CONTENT).unwrap();
    assert_eq!(fetch(&manifest, folder.path(), &[]).unwrap().len(), 1);
    fs::write(folder.path().join("file.bin"), "something else").unwrap();
    assert!(fetch(&manifest, folder.path(), &[]).is_err());
}

#[test]
fn a_file_without_address_asks_for_the_users_own_copy() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&Manifest::named("celeba").unwrap(), folder.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("img_align_celeba.zip") && error.contains("mmlab"), "{error}");
}
