//! `just slurm`: an array that is disturbed on a real Slurm, and every tool that it covers on a stand-in whose jobs run at once.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

#[path = "slurm/cluster.rs"]
mod cluster;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use cluster::{Cluster, wait_until};
use obverse::fidelity::statistics::Statistics;
use obverse::store::sidecar::Sidecar;
use obverse_tests::{recipes, run, tools};
use tempfile::TempDir;

/// `sbatch` and `squeue` that run jobs at once, note arrays in `arrays`, and say that what `queue` holds is in the queue.
const SBATCH: &str = r#"#!/bin/sh
set -eu
array= output=
while [ "$1" != /dev/stdin ]; do
    case $1 in --array=*) array=${1#*=} ;; --output=*) output=${1#*=} ;; esac
    shift
done
shift
cat > script
if [ -z "$array" ]; then sh script "$@" > "$output" 2>&1 || true; echo 8; exit; fi
echo "$array" >> arrays
for range in $(echo "$array" | tr , ' '); do
    for part in $(seq "${range%-*}" "${range#*-}"); do
        SLURM_ARRAY_TASK_ID=$part sh script "$@" > "$(echo "$output" | sed "s/%a/$part/")" 2>&1 || true
    done
done
echo 7
"#;
const SQUEUE: &str = "#!/bin/sh\ncat queue 2>/dev/null || true\n";

/// A tool that notes a part's number, node and process in `ran`, and waits until the file `gate` holds a number as large.
const GATED: &str = r#"#!/bin/sh
case " $* " in
    *" --check "*) ;;
    *)
        echo "$SLURM_ARRAY_TASK_ID $SLURMD_NODENAME $$" >> ran
        until [ "$SLURM_ARRAY_TASK_ID" -le "$(cat gate)" ]; do sleep 0.05; done
        ;;
esac
exec "$(dirname "$0")/real/fa-encode" "$@"
"#;

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder with the recipes, shapes whose path has a space, and small networks of them.
fn folder() -> TempDir {
    let folder = recipes().unwrap();
    let path = folder.path();
    run(path, "dataset", "synth shapes --count 100 --size 16 --quiet -o data").succeeds();
    fs::create_dir(path.join("my images")).unwrap();
    fs::copy(path.join("data/train-images.npy"), path.join("my images/train.npy")).unwrap();
    let fit = "data/train-images.npy --init uniform --latent 8 --preset published-code --epochs 1 --quiet -o encoder";
    run(path, "fa-fit", fit).succeeds();
    folder
}

/// Runs `just slurm` with these words, the last of which has others between spaces.
fn slurm(folder: &Path, environment: &[(&str, &str)], words: &[&str]) -> Output {
    let (last, first) = words.split_last().unwrap();
    let mut command = Command::new("just");
    command.arg("slurm").args(first).args(last.split(' ')).current_dir(folder).stdin(Stdio::null());
    command.env("OBVERSE_BIN", tools()).envs(environment.iter().copied()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the recipe said, which must end well.
#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stderr(output)
}

/// Checks that the recipe failed with exit code 2 and said these words.
#[track_caller]
fn fails(output: &Output, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
}

/// Checks that two files of statistics are the same to rounding.
fn same_statistics(a: &Path, b: &Path) {
    let [a, b] = [a, b].map(|path| Statistics::load(path).unwrap().moments);
    assert_eq!(a.count(), b.count());
    for (a, b) in [(a.mean(), b.mean()), (&a.covariance().unwrap(), &b.covariance().unwrap())] {
        let largest = b.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
        assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * largest));
    }
}

/// The environment in which the stand-ins in `stand-in` come first.
fn stand_in(folder: &Path) -> String {
    let bin = folder.join("stand-in");
    fs::create_dir(&bin).unwrap();
    script(&bin.join("sbatch"), SBATCH);
    script(&bin.join("squeue"), SQUEUE);
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
#[cfg_attr(not(just), ignore = "it takes just")]
fn every_tool_that_shards_is_submitted_and_its_parts_join_to_the_whole() {
    let folder = folder();
    let folder = folder.path();
    let path = stand_in(folder);
    let environment = [("PATH", path.as_str())];
    let setup = [
        (
            "net-fit",
            "classifier data/train-images.npy --labels data/train-labels.npy --arch clarke --init he --epochs 1 -o net",
        ),
        ("ifv-predict", "sample --features 8 --count 4 --canonical 1 -o t.npy"),
        ("net-tap", "net data/test-images.npy --layer fc1 -o h.npy"),
        (
            "pixelcnn-fit",
            "data/test-images.npy --condition h.npy --filters 4 --blocks 1 --mixtures 2 --updates 1 -o model",
        ),
    ];
    for (tool, words) in setup {
        run(folder, tool, &format!("{words} --quiet")).succeeds();
    }
    let tools: [(&str, &str, &str, &[&str]); 9] = [
        ("z.npy", "fa-encode", "encoder data/train-images.npy", &[]),
        ("r.npy", "fa-invert", "encoder joined/z.npy --steps 2", &[]),
        ("a.npy.zst", "net-tap", "net data/train-images.npy --layer act2", &[]),
        ("x.npy", "fv-optimize", "net --objective targets:conv2:t.npy --steps 4", &["parameters", "trace"]),
        (
            "p.npy",
            "ifv-predict",
            "net joined/x.npy --layer conv2 --targets t.npy",
            &["jacobians", "responses", "singular-values", "angles", "shares"],
        ),
        ("s.npy", "pixelcnn-sample", "model --condition h.npy", &[]),
        ("l.npy", "mi-bound", "model data/test-images.npy --condition h.npy", &[]),
        ("f.npy", "fid-score", "features data/train-images.npy --net net --layer act2", &[]),
        ("s.npz", "fid-score", "stats data/train-images.npy --net net --layer act2", &[]),
    ];
    fs::create_dir(folder.join("joined")).unwrap();
    for (name, tool, words, beside) in tools {
        let (whole, joined) = (format!("whole-{name}"), format!("joined/{name}"));
        run(folder, tool, &format!("{words} --quiet -o {whole}")).succeeds();
        let submit = || slurm(folder, &environment, &["submit", "3", &joined, tool, words]);
        let said = succeeds(&submit());
        assert!(said.contains("job 7 makes parts 1-3") && said.contains("job 8 joins"), "{said}");
        let log = || fs::read_to_string(folder.join(format!("{joined}.parts/merge.txt"))).unwrap();
        assert!(folder.join(&joined).is_file(), "{}", log());
        if name.ends_with(".npz") {
            same_statistics(&folder.join(&joined), &folder.join(&whole));
        } else {
            let both = |kind: &str| {
                [&whole, &joined]
                    .map(|file| fs::read(folder.join(file.replace(".npy", &format!("{kind}.npy")))).unwrap())
            };
            let kinds = beside.iter().map(|kind| format!(".{kind}")).chain([String::new()]);
            kinds.for_each(|kind| {
                let [whole, joined] = both(&kind);
                assert!(whole == joined, "{joined:?}{kind}: the parts join to other bytes");
            });
        }
        let said = succeeds(&submit());
        assert!(said.contains(&format!("{joined}: fresh")) && !said.contains("job"), "{said}");
    }
    // The joined images are the parts' images still: their parameters lie beside them, and how they were compared is known.
    let sidecar = Sidecar::read(&folder.join("joined/p.npy.json")).unwrap();
    assert_eq!(sidecar.tool, "npy-cat");
    let sidecar = Sidecar::read(&folder.join("joined/p.npy.parts/1-of-3.npy.json")).unwrap();
    assert_eq!(sidecar.resolved["parameters_from"], "parameters");
    assert_eq!(sidecar.resolved["cosine_power"], 3);
    let arrays = fs::read_to_string(folder.join("arrays")).unwrap();
    assert_eq!(arrays.lines().collect::<Vec<_>>(), ["1-3"; 9]);
}

#[test]
#[cfg_attr(not(just), ignore = "it takes just")]
fn only_what_is_missing_is_submitted_and_wrong_words_are_named() {
    let folder = folder();
    let folder = folder.path();
    let path = stand_in(folder);
    let environment = [("PATH", path.as_str())];
    let encode = |recipe: &str, parts: &str, out: &str| {
        slurm(folder, &environment, &[recipe, parts, out, "fa-encode", "encoder", "my images/train.npy", "--quiet"])
    };
    run(folder, "fa-encode", "encoder data/train-images.npy --quiet -o whole.npy").succeeds();
    succeeds(&encode("submit", "7", "my latents.npy"));
    assert!(fs::read(folder.join("my latents.npy")).unwrap() == fs::read(folder.join("whole.npy")).unwrap());
    let part = |number: u32| folder.join(format!("my latents.npy.parts/{number}-of-7.npy"));
    for number in [2, 3, 6] {
        fs::remove_file(part(number)).unwrap();
    }
    fs::write(part(5), "other bytes").unwrap();
    fails(
        &encode("merge", "7", "my latents.npy"),
        &["my latents.npy.parts", "2-of-7.npy 3-of-7.npy 5-of-7.npy 6-of-7.npy;"],
    );
    let missing = encode("missing", "7", "my latents.npy");
    assert_eq!(String::from_utf8(missing.stdout).unwrap(), "2\n3\n5\n6\n");
    assert!(succeeds(&encode("submit", "7", "my latents.npy")).contains("makes parts 2-3,5-6"));
    // The merged file alone is missing: no part is made again.
    fs::remove_file(folder.join("my latents.npy")).unwrap();
    let said = succeeds(&encode("submit", "7", "my latents.npy"));
    assert!(said.contains("job 8 joins") && !said.contains("makes"), "{said}");
    assert!(fs::read(folder.join("my latents.npy")).unwrap() == fs::read(folder.join("whole.npy")).unwrap());
    assert_eq!(fs::read_to_string(folder.join("arrays")).unwrap(), "1-7\n2-3,5-6\n");

    fs::write(folder.join("queue"), "8 PENDING\n").unwrap();
    fails(&encode("submit", "7", "my latents.npy"), &["my latents.npy", "jobs 8", "still in the queue"]);
    fs::remove_file(folder.join("queue")).unwrap();
    fails(&encode("submit", "0", "z.npy"), &["0", "number of parts"]);
    fails(&encode("submit", "2", "z.txt"), &["z.txt", ".npz"]);
    fails(&encode("submit", "2", "50%.npy"), &["50%.npy", "without %"]);
    fails(&encode("part", "2", "z.npy"), &["SLURM_ARRAY_TASK_ID"]);
    let refused = |tool: &str, words: &str, said: &[&str]| {
        fails(&slurm(folder, &environment, &["submit", "2", "z.npy", tool, words]), said);
    };
    refused("fa-fit", "data/train-images.npy", &["fa-fit", "fa-encode"]);
    refused("fv-optimize", "net --objective class:1 --examples e.npy", &["--examples", "joined"]);
    refused("fa-encode", "nothing data/train-images.npy", &["fa-encode: error", "nothing"]);
    refused("fa-encode", "encoder data/train-images.npy --shard 1/2", &["fa-encode: error", "--shard"]);
    assert_eq!(fs::read_to_string(folder.join("arrays")).unwrap(), "1-7\n2-3,5-6\n");
}

#[test]
#[cfg_attr(not(all(slurm, just)), ignore = "it takes just, and root with slurm-wlm and munge")]
fn a_killed_part_and_a_drained_node_are_made_good_by_submitting_again() {
    // In this order, so that jobs end before their folder is removed.
    let (folder, cluster) = (folder(), Cluster::start());
    let folder = folder.path();
    run(folder, "fa-encode", "encoder data/train-images.npy --quiet -o whole.npy").succeeds();
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["npy-cat", "fid-score"] {
        symlink(tools().join(name), bin.join(name)).unwrap();
    }
    symlink(tools(), bin.join("real")).unwrap();
    script(&bin.join("fa-encode"), GATED);
    let environment = [("OBVERSE_BIN", bin.to_str().unwrap()), ("SLURM_CONF", cluster.configuration())];
    let submit = || {
        let words = "data/train-images.npy --quiet";
        slurm(folder, &environment, &["submit", "16", "my latents.npy", "fa-encode", "encoder", words])
    };
    let open = |gate: u32| fs::write(folder.join("gate"), gate.to_string()).unwrap();
    // What ran: part, node, process.
    let ran = || -> Vec<(u32, String, u32)> {
        let text = fs::read_to_string(folder.join("ran")).unwrap_or_default();
        let line = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].parse().unwrap(), words[1].to_string(), words[2].parse().unwrap())
        };
        text.lines().map(line).collect()
    };

    open(0);
    let said = succeeds(&submit());
    assert!(said.contains("makes parts 1-16"), "{said}");
    // Two parts on each of two nodes, all waiting at the gate.
    wait_until("four parts run", || ran().len() == 4);
    fails(&submit(), &["my latents.npy", "still in the queue"]);
    cluster.update("two", "drain");
    let (killed, _, process) = ran()[0].clone();
    assert!(Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
    open(10);
    wait_until("node two is empty and two parts more wait at the gate", || {
        cluster.state("two") == "drained" && ran().iter().filter(|(part, ..)| *part > 10).count() == 2
    });
    assert!(ran()[4..].iter().all(|(_, node, _)| node == "one"), "a drained node took parts: {:?}", ran());
    cluster.update("two", "resume");
    wait_until("node two takes parts again", || ran()[4..].iter().any(|(_, node, _)| node == "two"));
    open(16);
    wait_until("the queue is empty", || cluster.queue().is_empty());
    assert_eq!(ran().len(), 16, "{:?}", ran());
    let merge = fs::read_to_string(folder.join("my latents.npy.parts/merge.txt")).unwrap();
    assert!(merge.contains(&format!("not fresh: {killed}-of-16.npy;")), "{merge}");
    assert!(!folder.join("my latents.npy").exists());

    let written = || -> Vec<(u32, SystemTime)> {
        let path = |part: u32| folder.join(format!("my latents.npy.parts/{part}-of-16.npy"));
        let others = (1..=16).filter(|part| *part != killed);
        others.map(|part| (part, fs::metadata(path(part)).unwrap().modified().unwrap())).collect()
    };
    let before = written();
    let said = succeeds(&submit());
    assert!(said.contains(&format!("makes parts {killed}\n")), "{said}");
    wait_until("the queue is empty", || cluster.queue().is_empty());
    assert_eq!(ran()[16..].iter().map(|(part, ..)| *part).collect::<Vec<_>>(), [killed]);
    assert_eq!(written(), before);
    let log = || fs::read_to_string(folder.join("my latents.npy.parts/merge.txt")).unwrap();
    assert!(folder.join("my latents.npy").is_file(), "{}", log());
    assert!(fs::read(folder.join("my latents.npy")).unwrap() == fs::read(folder.join("whole.npy")).unwrap());
    let said = succeeds(&submit());
    assert!(said.contains("my latents.npy: fresh") && cluster.queue().is_empty(), "{said}");

    let words = "stats data/train-images.npy --net encoder --layer act2 --quiet";
    run(folder, "fid-score", &format!("{words} -o whole.npz")).succeeds();
    succeeds(&slurm(folder, &environment, &["submit", "5", "joined.npz", "fid-score", words]));
    wait_until("the queue is empty", || cluster.queue().is_empty());
    same_statistics(&folder.join("joined.npz"), &folder.join("whole.npz"));
}
