use std::io::Write;

use super::*;
use std::fs::File;

fn tar_with(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        // `set_path` refuses names that lead outside, which is what a hostile archive has.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn text(source: &Source, name: &str) -> String {
    let mut text = String::new();
    source.stream(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_same_files_are_found_in_a_folder_and_in_every_kind_of_archive() {
    let folder = tempfile::tempdir().unwrap();
    let members: [(&str, &[u8]); 3] = [("top/b/2.txt", b"two"), ("top/a/1.txt", b"one"), ("top/skip.md", b"no")];
    for (name, content) in members {
        let path = folder.path().join("plain").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let plain = tar_with(&members);
    fs::write(folder.path().join("x.tar"), &plain).unwrap();
    fs::write(folder.path().join("x.tar.zst"), zstd::encode_all(plain.as_slice(), 1).unwrap()).unwrap();
    let gzip = File::create(folder.path().join("x.tgz")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(gzip, flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    gzip.finish().unwrap();
    let mut zip = zip::ZipWriter::new(File::create(folder.path().join("x.zip")).unwrap());
    for (name, content) in members {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    for name in ["plain", "x.tar", "x.tar.zst", "x.tgz", "x.zip"] {
        let source = Source::open(&folder.path().join(name), |name| name.ends_with(".txt")).unwrap();
        assert_eq!(source.names().collect::<Vec<_>>(), ["top/a/1.txt", "top/b/2.txt"], "{name}");
        assert_eq!(text(&source, "top/b/2.txt"), "two", "{name}");
        assert_eq!(text(&source, "top/a/1.txt"), "one", "{name}");
    }
}

#[test]
fn a_member_that_leads_outside_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    for name in ["../outside.txt", "/outside.txt", "a/../../outside.txt"] {
        fs::write(&path, tar_with(&[(name, b"bad")])).unwrap();
        let error = Source::open(&path, |_| true).err().unwrap().to_string();
        assert!(error.contains("outside.txt"), "{error}");
    }
}

#[test]
fn an_archive_that_unpacks_to_many_times_its_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.zst");
    let mut archive = zstd::Encoder::new(File::create(&path).unwrap(), 1).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("a").unwrap();
    header.set_size(1 << 31);
    header.set_cksum();
    archive.write_all(header.as_bytes()).unwrap();
    archive.finish().unwrap();
    let error = Source::open(&path, |_| true).err().unwrap().to_string();
    assert!(error.contains("x.tar.zst") && error.contains("unpack it first"), "{error}");
}

/// A zip of these members; those that have a target are links.
fn zip_with(path: &Path, members: &[(&str, Option<&str>)]) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, target) in members {
        match target {
            Some(target) => zip.add_symlink(*name, *target, options).unwrap(),
            None => zip.start_file(*name, options).unwrap(),
        }
    }
    zip.finish().unwrap();
}

#[test]
fn hidden_entries_are_skipped_at_every_depth_and_others_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "set/cat/1.png",
        "set/cat/.ipynb_checkpoints/1-checkpoint.png",
        "set/.ipynb_checkpoints/0-checkpoint.png",
        "set/.DS_Store",
        "__MACOSX/set/cat/._1.png",
        "set/__MACOSX/2.png",
        "./set/notes.txt",
        "set/LICENSE",
    ];
    for name in names {
        let path = folder.path().join("plain").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    fs::write(folder.path().join("x.tar"), tar_with(&names.map(|name| (name, &b""[..])))).unwrap();
    zip_with(&folder.path().join("x.zip"), &names.map(|name| (name, None)));
    // The folder's own name may be hidden.
    fs::rename(folder.path().join("plain"), folder.path().join(".plain")).unwrap();
    for name in [".plain", "x.tar", "x.zip"] {
        let source = Source::open(&folder.path().join(name), |name| name.ends_with(".png")).unwrap();
        assert_eq!(source.names().collect::<Vec<_>>(), ["set/cat/1.png"], "{name}");
        assert_eq!(source.left_out().to_string(), "1 .txt, 1 without an ending", "{name}");
    }
}

#[test]
fn a_folders_links_are_followed_and_an_archives_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(folder.path().join("outside"), "o").unwrap();
    std::os::unix::fs::symlink("../outside", inner.join("link")).unwrap();
    assert_eq!(text(&Source::open(&inner, |_| true).unwrap(), "link"), "o");
    let zip = folder.path().join("x.zip");
    zip_with(&zip, &[("link", Some("../outside"))]);
    let tar = folder.path().join("x.tar");
    let mut builder = tar::Builder::new(File::create(&tar).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "link", "../outside").unwrap();
    builder.finish().unwrap();
    for archive in [zip, tar] {
        let error = Source::open(&archive, |_| true).err().unwrap().to_string();
        assert!(error.contains("link, a link or special file"), "{error}");
        assert!(Source::open(&archive, |_| false).is_ok());
    }
}

#[test]
fn a_plain_tar_cut_short_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let whole = tar_with(&[("a", &[7; 4096])]);
    fs::write(&path, &whole[..2048]).unwrap();
    assert!(Source::open(&path, |_| true).is_err());
}
