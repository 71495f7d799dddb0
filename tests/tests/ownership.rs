//! What a run owns: it replaces what the suite wrote and recorded, and nothing else; and it is never falsely fresh.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use obverse::store::npy;
use obverse::store::sidecar::Sidecar;
use obverse_tests::{names, run, shell, tool, write_images};
use tempfile::TempDir;

const ARCHITECTURE: &str = r#"{"format": "obverse-net/1", "input": {"shape": [1, 8, 8]}, "nodes": [
    {"name": "flatten", "op": "flatten", "input": "input"},
    {"name": "z", "op": "linear", "input": "flatten", "features": 4}], "outputs": {"z": "z"}}"#;
const FIT: &str = "images.npy --arch arch.json --epochs 1 --batch 4 --quiet";

/// A folder with images `images.npy` and `others.npy` and the encoder `enc`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 12, 1, 8).unwrap();
    write_images(&folder.path().join("others.npy"), 7, 1, 8).unwrap();
    fs::write(folder.path().join("arch.json"), ARCHITECTURE).unwrap();
    run(folder.path(), "fa-fit", &format!("{FIT} -o enc")).succeeds();
    folder
}

fn started(folder: &Path, name: &str, arguments: &str) -> Child {
    tool(name).args(arguments.split_whitespace()).current_dir(folder).spawn().unwrap()
}

fn sidecar(folder: &Path, name: &str) -> Sidecar {
    Sidecar::read(&folder.join(name)).unwrap()
}

#[test]
fn folders_of_other_things_are_refused_by_name_and_untouched() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("sacred")).unwrap();
    fs::write(path.join("sacred/run.json"), r#"{"status": "RUNNING"}"#).unwrap();
    fs::write(path.join("sacred/thesis.tex"), "years").unwrap();
    run(path, "fa-fit", &format!("{FIT} -o sacred")).fails(2, &["sacred/thesis.tex", "another -o"]);
    assert_eq!(names(&path.join("sacred")), ["run.json", "thesis.tex"]);
    // A file that the user has put into a folder of ours, and one in a folder below.
    for name in ["thesis.tex", "params/thesis.tex"] {
        fs::write(path.join("enc").join(name), "years").unwrap();
        run(path, "fa-fit", &format!("{FIT} --seed 1 -o enc")).fails(2, &[&format!("enc/{name}")]);
        assert_eq!(fs::read_to_string(path.join("enc").join(name)).unwrap(), "years");
        fs::remove_file(path.join("enc").join(name)).unwrap();
    }
    run(path, "fa-fit", &format!("{FIT} --seed 1 -o enc")).succeeds();
}

#[test]
fn files_of_others_are_replaced_only_when_asked_and_json_never() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("z.npy"), "years").unwrap();
    run(path, "fa-encode", "enc images.npy -o z.npy").fails(2, &["z.npy", "--overwrite"]);
    assert_eq!(fs::read_to_string(path.join("z.npy")).unwrap(), "years");
    run(path, "fa-encode", "enc images.npy --quiet --overwrite -o z.npy").succeeds();
    // From then on it is ours.
    run(path, "fa-encode", "enc images.npy --quiet --precision f64 -o z.npy").succeeds();
    fs::write(path.join("y.npy.json"), "{}").unwrap();
    run(path, "fa-encode", "enc images.npy --overwrite -o y.npy").fails(2, &["y.npy.json", "another kind"]);
    assert_eq!(fs::read_to_string(path.join("y.npy.json")).unwrap(), "{}");
    // What lies beside an output is held to the same.
    fs::write(path.join("v.trace.npy"), "years").unwrap();
    run(path, "fv-optimize", "enc --objective channel:z:0 --steps 2 -o v.npy").fails(2, &["v.trace.npy"]);
    assert_eq!(fs::read_to_string(path.join("v.trace.npy")).unwrap(), "years");
    assert!(!path.join("v.npy").exists());
}

#[test]
fn an_output_that_is_an_input_under_any_name_is_refused() {
    let folder = folder();
    let path = folder.path();
    let before = fs::read(path.join("images.npy")).unwrap();
    std::os::unix::fs::symlink("images.npy", path.join("link.npy")).unwrap();
    fs::hard_link(path.join("images.npy"), path.join("hard.npy")).unwrap();
    for output in ["images.npy", "./enc/../images.npy", "link.npy", "hard.npy"] {
        let asked = format!("images.npy --head 3 --overwrite -o {output}");
        run(path, "npy-cat", &asked).fails(2, &["would be overwritten", "images.npy"]);
    }
    assert_eq!(fs::read(path.join("images.npy")).unwrap(), before);
    fs::copy(path.join("images.npy"), path.join("enc/images.npy")).unwrap();
    run(path, "fa-fit", "enc/images.npy --arch arch.json -o enc").fails(2, &["would be overwritten"]);
    run(path, "fa-encode", "enc images.npy -o enc/z.npy").fails(2, &["it lies in enc", "choose another -o"]);
}

#[test]
fn a_name_that_cannot_be_kept_is_refused_before_the_work() {
    let folder = folder();
    let path = folder.path();
    let long = format!("{}.npy", "a".repeat(240));
    run(path, "fa-encode", &format!("enc images.npy -o {long}")).fails(2, &["at most 215 bytes"]);
    run(path, "fa-encode", "enc images.npy -o z.txt").fails(2, &["z.txt", ".npy or .npy.zst"]);
    let name = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff.npy");
    let output =
        tool("fa-encode").args(["enc", "images.npy", "-o"]).arg::<&std::ffi::OsStr>(name).current_dir(path).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("UTF-8"));
}

#[test]
fn companions_that_are_damaged_or_missing_are_not_fresh_and_made_again() {
    let folder = folder();
    let path = folder.path();
    const ASKED: &str = "enc --objective channel:z:0 --steps 2 -o v.npy";
    run(path, "fv-optimize", ASKED).succeeds();
    let whole = fs::read(path.join("v.parameters.npy")).unwrap();
    assert!(run(path, "fv-optimize", ASKED).succeeds().stderr.contains("fresh"));
    fs::write(path.join("v.parameters.npy"), "").unwrap();
    run(path, "fv-optimize", &format!("{ASKED} --check")).fails(1, &["v.parameters.npy"]);
    run(path, "obverse-verify", "v.npy").code.filter(|&code| code == 1).unwrap();
    run(path, "fv-optimize", ASKED).succeeds();
    assert_eq!(fs::read(path.join("v.parameters.npy")).unwrap(), whole);
}

#[test]
fn an_input_that_changes_during_a_run_is_noticed_at_its_end() {
    let folder = folder();
    let path = folder.path();
    let mut fit = started(path, "fa-fit", "others.npy --arch arch.json --epochs 100000 --threads 1 --quiet -o late");
    sleep(Duration::from_millis(150));
    write_images(&path.join("others.npy"), 7, 1, 8).unwrap();
    let mut values = npy::read::<u8>(&path.join("others.npy")).unwrap();
    values[[0, 0, 0, 0]] ^= 1;
    npy::write_array(&path.join("others.npy"), &values).unwrap();
    assert_eq!(fit.wait().unwrap().code(), Some(1));
    assert!(!path.join("late").exists() && !path.join("late.checkpoint").exists(), "{:?}", names(path));
}

#[test]
fn the_same_file_under_another_flag_is_another_request() {
    let folder = folder();
    let path = folder.path();
    const FIT: &str = "autoencoder images.npy --arch mnist --latent 2 --batch 6 --updates 1 -o ae";
    write_images(&path.join("images.npy"), 12, 1, 28).unwrap();
    write_images(&path.join("others.npy"), 7, 1, 28).unwrap();
    run(path, "net-fit", &format!("{FIT} --test others.npy")).succeeds();
    let asked = format!("{FIT} --validation others.npy");
    run(path, "net-fit", &format!("{asked} --check")).fails(1, &["validation"]);
}

#[test]
fn a_run_goes_on_when_nobody_hears_it() {
    let folder = folder();
    let path = folder.path();
    let full = shell(path, &format!("fa-fit {} -o full 2>/dev/full", FIT.replace(" --quiet", "")));
    let left =
        shell(path, "{ fa-fit images.npy --arch arch.json --epochs 3000 -o left 2>&1; echo $? > code; } | head -1");
    for mut command in [full, left] {
        assert!(command.status().unwrap().success());
    }
    assert_eq!(fs::read_to_string(path.join("code")).unwrap().trim(), "0");
    run(path, "obverse-verify", "full left").succeeds();
    run(path, "npy-cat", "\u{1b}[2Jx.npy -o y.npy").fails(2, &["\\u{1b}[2Jx.npy"]);
}

#[test]
fn values_are_recorded_as_typed() {
    let folder = folder();
    let path = folder.path();
    let asked = ["enc", "--objective", "channel:z:0 - 0.1*l1", "--steps", "2", "--quiet", "-o", "v.npy"];
    assert!(tool("fv-optimize").args(asked).current_dir(path).status().unwrap().success());
    let request = sidecar(path, "v.npy.json").request;
    assert_eq!(request["objective"], serde_json::json!(["channel:z:0 - 0.1*l1"]));
    assert_eq!((&request["steps"], &request["optimiser"]), (&2.into(), &"adam".into()));
    let circumstances = sidecar(path, "v.npy.json").circumstances;
    assert!(circumstances.date.unwrap().ends_with('Z') && circumstances.threads.unwrap() > 0);
    let request = sidecar(path, "enc/run.json").request;
    assert_eq!((&request["preset"], &request["init"]), (&"paper".into(), &"orthogonal".into()));
}

#[test]
fn again_makes_the_file_and_nothing_else() {
    let folder = folder();
    let path = folder.path();
    run(path, "fa-encode", "enc images.npy --quiet -o z.npy").succeeds();
    let made = sidecar(path, "z.npy.json");
    // A sidecar from elsewhere that names another output.
    fs::create_dir(path.join("victim")).unwrap();
    fs::write(path.join("victim/a.npy"), "a").unwrap();
    let command = ["npy-cat", "z.npy", "--overwrite", "-o", "victim/a.npy"].map(str::to_owned).to_vec();
    Sidecar { command, ..made.clone() }.write(&path.join("z.npy.json")).unwrap();
    run(path, "obverse-again", "z.npy").fails(2, &["victim/a.npy", "nothing else"]);
    assert_eq!(fs::read_to_string(path.join("victim/a.npy")).unwrap(), "a");
    let command = ["obverse-again", "z.npy"].map(str::to_owned).to_vec();
    Sidecar { command, ..made.clone() }.write(&path.join("z.npy.json")).unwrap();
    run(path, "obverse-again", "z.npy").fails(2, &["obverse-again"]);
    made.write(&path.join("z.npy.json")).unwrap();
    // An input that is not what it was.
    let before = fs::read(path.join("z.npy")).unwrap();
    let images = fs::read(path.join("images.npy")).unwrap();
    fs::copy(path.join("others.npy"), path.join("images.npy")).unwrap();
    run(path, "obverse-again", "z.npy").fails(2, &["images.npy", "--changed"]);
    assert_eq!(fs::read(path.join("z.npy")).unwrap(), before);
    run(path, "obverse-again", "z.npy --changed").succeeds();
    assert_eq!(npy::Reader::open(&path.join("z.npy")).unwrap().rows(), 7);
    fs::write(path.join("images.npy"), images).unwrap();
}

#[test]
fn upstream_makes_what_was_lost_first() {
    let folder = folder();
    let path = folder.path();
    run(path, "npy-cat", "images.npy --head 5 --quiet -o five.npy").succeeds();
    run(path, "fa-encode", "enc five.npy --quiet -o z.npy").succeeds();
    let before = fs::read(path.join("z.npy")).unwrap();
    fs::remove_file(path.join("five.npy")).unwrap();
    fs::remove_file(path.join("z.npy")).unwrap();
    run(path, "obverse-again", "z.npy").fails(2, &["five.npy", "--upstream"]);
    run(path, "obverse-again", "z.npy --upstream").succeeds();
    assert_eq!(fs::read(path.join("z.npy")).unwrap(), before);
}

#[test]
fn a_part_that_its_sidecar_does_not_describe_any_more_is_refused() {
    let folder = folder();
    let path = folder.path();
    for part in 1..=2 {
        run(path, "fa-encode", &format!("enc images.npy --shard {part}/2 --quiet -o p{part}.npy")).succeeds();
    }
    run(path, "fa-encode", "enc others.npy --quiet -o o.npy").succeeds();
    fs::copy(path.join("o.npy"), path.join("p2.npy")).unwrap();
    run(path, "npy-cat", "p1.npy p2.npy -o whole.npy").fails(2, &["p2.npy", "2/2", "another file"]);
    run(path, "npy-cat", "p1.npy p2.npy --any-parts --quiet -o whole.npy").succeeds();
}

#[test]
fn a_checkpoint_of_another_request_or_of_others_is_refused() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("mine.checkpoint")).unwrap();
    fs::write(path.join("mine.checkpoint/weights.bin"), "years").unwrap();
    run(path, "fa-fit", &format!("{FIT} -o mine")).fails(2, &["mine.checkpoint/weights.bin"]);
    assert!(path.join("mine.checkpoint/weights.bin").is_file());
    let long = "fa-fit images.npy --arch arch.json --batch 4 --quiet --checkpoint-minutes 0 --epochs 1000000 -o ck";
    let status = shell(path, &format!("timeout -s HUP 1 {long}")).status().unwrap();
    // What `timeout` says of a run that it stopped.
    assert_eq!(status.code(), Some(124));
    let other = "images.npy --arch arch.json --batch 4 --quiet --epochs 3 -o ck";
    run(path, "fa-fit", other).fails(2, &["ck.checkpoint", "beyond the end", "--restart"]);
    run(path, "fa-fit", &format!("{other} --seed 1")).fails(2, &["ck.checkpoint", "request.seed 0 -> 1", "--restart"]);
    assert!(path.join("ck.checkpoint/run.json").is_file());
    run(path, "fa-fit", &format!("{other} --restart")).succeeds();
    assert!(path.join("ck/net.json").is_file() && !path.join("ck.checkpoint").exists());
}

#[test]
fn a_run_that_asks_for_more_goes_on_from_the_checkpoint_of_one_that_asked_for_less() {
    let folder = folder();
    let path = folder.path();
    let fit = |epochs: u32| format!("fa-fit images.npy --arch arch.json --batch 4 --threads 1 --epochs {epochs}");
    let stopped = format!("timeout -s INT 0.5 {} --quiet --checkpoint-minutes 0 -o more", fit(1_000_000));
    assert_eq!(shell(path, &stopped).status().unwrap().code(), Some(124));
    let text = fs::read_to_string(path.join("more.checkpoint/run.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    let epochs = u32::try_from(state["position"]["epoch"].as_u64().unwrap()).unwrap() + 40;
    let said = shell(path, &format!("{} --test others.npy -o more", fit(epochs))).output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("goes on after update"), "{said}");
    assert!(shell(path, &format!("{} --quiet -o whole", fit(epochs))).status().unwrap().success());
    let bytes = |name: &str| fs::read(path.join(name).join("params/z.weight.npy")).unwrap();
    assert!(bytes("more") == bytes("whole"));
    // A cosine over the whole run is another training from its start.
    let cosine =
        format!("timeout -s INT 0.5 {} --schedule cosine --quiet --checkpoint-minutes 0 -o cosine", fit(1_000_000));
    assert_eq!(shell(path, &cosine).status().unwrap().code(), Some(124));
    let longer = fit(2_000_000).replacen("fa-fit ", "", 1);
    run(path, "fa-fit", &format!("{longer} --schedule cosine -o cosine")).fails(2, &["epochs 1000000 -> 2000000"]);
}

/// Stops a command as soon as `sign` is there, with a signal.
fn stopped(folder: &Path, command: &str, sign: &str, signal: &str) {
    let mut child = shell(folder, &format!("exec {command}")).spawn().unwrap();
    while !shell(folder, &format!("ls -d {sign} >/dev/null 2>&1")).status().unwrap().success() {
        assert!(child.try_wait().unwrap().is_none(), "{command}: ended before it was stopped");
    }
    shell(folder, &format!("kill -s {signal} {}", child.id())).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{command}");
}

#[test]
fn long_runs_that_are_stopped_go_on_to_the_same_bytes() {
    let folder = folder();
    let path = folder.path();
    let succeeds = |command: &str| assert!(shell(path, command).status().unwrap().success(), "{command}");
    succeeds("pixelcnn-fit images.npy --filters 4 --blocks 1 --mixtures 2 --updates 1 --batch 4 --quiet -o density");
    let polish = "fv-optimize enc --objective 'channel:z:0 - 0.1*l2' --count 120 --steps 2 --polish 500 --tolerance 0";
    let draw = "pixelcnn-sample density --count 60 --batch 1 --threads 1";
    for (command, sign, signal) in [
        (polish, "CUT.checkpoint/chunk-0.state/search-0-trace.npy", "HUP"),
        (draw, "CUT.checkpoint/chunk-0/images.npy", "TERM"),
    ] {
        let cut = format!("{command} --quiet --checkpoint-minutes 0 -o cut.npy");
        stopped(path, &cut, &sign.replace("CUT", "cut.npy"), signal);
        assert!(!path.join("cut.npy").exists());
        succeeds(&cut);
        succeeds(&format!("{command} --quiet -o whole.npy"));
        assert!(fs::read(path.join("cut.npy")).unwrap() == fs::read(path.join("whole.npy")).unwrap(), "{command}");
        assert!(!path.join("cut.npy.checkpoint").exists());
        succeeds("rm -f cut.* whole.*");
    }
}

#[test]
fn a_dataset_that_is_stopped_leaves_nothing() {
    let folder = folder();
    let path = folder.path();
    let before = names(path);
    for what in ["shapes --count 200000 --size 48", "surfaces --count 200000 --size 32"] {
        stopped(path, &format!("dataset synth {what} --quiet -o drawn"), ".drawn.partial-*/.train-images*", "INT");
        assert_eq!(names(path), before, "{what}");
    }
}

#[test]
fn verify_names_each_output_that_is_not_what_its_sidecar_says() {
    let folder = folder();
    let path = folder.path();
    run(path, "fa-encode", "enc images.npy --quiet -o z.npy").succeeds();
    let said = run(path, "obverse-verify", ".").succeeds().stdout;
    assert!(String::from_utf8_lossy(&said).contains("2 outputs"), "{}", String::from_utf8_lossy(&said));
    let mut bytes = fs::read(path.join("z.npy")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path.join("z.npy"), bytes).unwrap();
    fs::copy(path.join("others.npy"), path.join("images.npy")).unwrap();
    let said = run(path, "obverse-verify", ". --json");
    assert_eq!(said.code, Some(1));
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let problems = said["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 3, "{said}");
}

#[test]
fn an_output_is_always_of_one_run_when_two_race() {
    let folder = folder();
    let path = folder.path();
    for race in 0..20 {
        let name = format!("z{race}.npy");
        let commands =
            ["--precision f32", "--precision f64"].map(|how| format!("enc images.npy {how} --quiet -o {name}"));
        let runs = commands.each_ref().map(|command| started(path, "fa-encode", command));
        assert!(runs.into_iter().all(|mut run| run.wait().unwrap().success()));
        let said = run(path, "obverse-verify", &name);
        assert_eq!(said.code, Some(0), "{}", String::from_utf8_lossy(&said.stdout));
        assert!(
            !names(path).iter().any(|name| name.ends_with(".lock") || name.contains("partial")),
            "{:?}",
            names(path)
        );
    }
}

#[test]
fn what_is_replaced_keeps_its_mode_and_its_links() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path();
    run(path, "fa-encode", "enc images.npy --quiet -o z.npy").succeeds();
    fs::set_permissions(path.join("z.npy"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("z.npy", path.join("link.npy")).unwrap();
    run(path, "fa-encode", "enc others.npy --quiet -o z.npy").succeeds();
    assert_eq!(fs::metadata(path.join("z.npy")).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(path.join("link.npy")).unwrap().is_symlink());
}

#[test]
fn a_large_file_is_read_once_for_its_digest_while_it_stands() {
    let folder = folder();
    let path = folder.path();
    npy::write(&path.join("big.npy"), &[32, 1 << 20], &vec![1u8; 1 << 25]).unwrap();
    let cache = |command: &str| {
        let mut shell = shell(path, command);
        shell.env("XDG_CACHE_HOME", path.join("cache")).output().unwrap()
    };
    let entries = || names(&path.join("cache/obverse/digests")).len();
    const HEAD: &str = "npy-cat big.npy --head 1 --threads 1 -o head.npy";
    assert!(cache(HEAD).status.success());
    assert_eq!(entries(), 0, "a file that was written just now is not settled");
    sleep(Duration::from_millis(3100));
    assert!(String::from_utf8_lossy(&cache(HEAD).stderr).contains("fresh"));
    assert_eq!(entries(), 1);
    assert!(String::from_utf8_lossy(&cache(HEAD).stderr).contains("fresh"));
    // One byte, and the old time of modification: the time of change tells.
    let change = "cp -p big.npy old && printf x | dd of=big.npy bs=1 seek=1000000 conv=notrunc && touch -r old big.npy";
    assert!(cache(change).status.success());
    let said = cache(&format!("{HEAD} --check"));
    assert_eq!(said.status.code(), Some(1), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stderr).contains("big.npy changed"));
}
