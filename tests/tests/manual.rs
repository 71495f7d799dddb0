//! The manual: man pages, and completions as a shell asks for them.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use obverse_tests::{assert_kept, run, tool};
use tempfile::TempDir;

/// The tools, by what `obverse-manual` writes.
fn manual() -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "obverse-manual", "share").succeeds();
    let scripts = fs::read_dir(folder.path().join("share/bash-completion/completions")).unwrap();
    let mut tools: Vec<String> = scripts.map(|script| script.unwrap().file_name().into_string().unwrap()).collect();
    tools.sort_unstable();
    (folder, tools)
}

#[test]
fn every_tool_has_a_page_with_each_of_its_options_and_two_examples() {
    let (folder, tools) = manual();
    assert!(tools.len() >= 18, "{tools:?}");
    for tool in tools {
        let page = fs::read_to_string(folder.path().join(format!("share/man/man1/{tool}.1"))).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES"] {
            assert!(page.contains(&format!(".SH {section}")), "{tool}: {section}");
        }
        let examples = page.split(".SH EXAMPLES").nth(1).unwrap().replace("\\-", "-");
        assert!(examples.matches(&format!("{tool} ")).count() >= 2, "{tool}: {examples}");
        let help = String::from_utf8(run(folder.path(), &tool, "--help").succeeds().stdout).unwrap();
        let options = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
        for option in options.filter_map(|line| line.split([' ', ',', '=', '[']).next()) {
            assert!(page.replace("\\-", "-").contains(&format!("--{option}")), "{tool}: --{option}");
        }
    }
}

#[test]
#[cfg_attr(not(man), ignore = "it takes man")]
fn pages_are_set_without_a_warning() {
    let (folder, tools) = manual();
    for tool in tools {
        let page = folder.path().join(format!("share/man/man1/{tool}.1"));
        let set = Command::new("man").args(["--warnings", "-l"]).arg(&page).env("MANWIDTH", "100").output().unwrap();
        assert!(set.status.success() && set.stderr.is_empty(), "{tool}: {}", String::from_utf8_lossy(&set.stderr));
        assert!(String::from_utf8_lossy(&set.stdout).contains("EXAMPLES"), "{tool}");
    }
}

/// What bash completes the last word of a command to.
fn completed(folder: &Path, words: &[&str]) -> Vec<String> {
    let script = folder.join(format!("share/bash-completion/completions/{}", words[0]));
    let ask = "source \"$0\"; COMP_TYPE=9; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
               function=$(complete -p \"$1\" | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
               \"$function\" \"$1\" \"${!#}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let tools = tool(words[0]).get_program().to_owned();
    let path = format!("{}:{}", Path::new(&tools).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(ask).arg(script).args(words).current_dir(folder).env("PATH", path);
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
#[cfg_attr(not(bash), ignore = "it takes bash")]
fn bash_completes_options_and_the_nodes_of_the_network_on_the_line() {
    let (folder, _) = manual();
    run(folder.path(), "dataset", "synth shapes --count 100 --size 16 -o data").succeeds();
    let words = "classifier data/train-images.npy --labels data/train-labels.npy --epochs 1 --quiet -o net";
    run(folder.path(), "net-fit", words).succeeds();
    let nodes = completed(folder.path(), &["net-tap", "net", "--layer", "act"]);
    assert!(nodes.len() >= 2 && nodes.iter().all(|node| node.starts_with("act")), "{nodes:?}");
    assert!(completed(folder.path(), &["net-tap", "net", "--layer", "nothing"]).concat().is_empty());
    assert_eq!(completed(folder.path(), &["net-tap", "--descr"]), ["--describe"]);
    assert!(completed(folder.path(), &["net-fit", "class"]).contains(&"classifier".to_owned()));
}

/// The help of a tool and of its sub-commands, one after the other.
fn help(folder: &Path, words: &str) -> String {
    let (tool, rest) = words.split_once(' ').unwrap_or((words, ""));
    let help = String::from_utf8(run(folder, tool, &format!("{rest} --help")).succeeds().stdout).unwrap();
    let listed = help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let names = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let parts =
        names.filter(|name| !["", "help"].contains(name)).map(|name| self::help(folder, &format!("{words} {name}")));
    let parts: Vec<String> = parts.collect();
    format!("$ {words} --help\n{help}\n{}", parts.concat())
}

#[test]
fn every_help_is_as_it_was_reviewed() {
    let (folder, tools) = manual();
    for tool in tools {
        let version = run(folder.path(), &tool, "--version").succeeds().stdout;
        assert_eq!(String::from_utf8(version).unwrap(), format!("{tool} {}\n", env!("CARGO_PKG_VERSION")));
        assert_kept(&format!("tests/snapshots/help/{tool}.txt"), &help(folder.path(), &tool));
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("share"), "a file").unwrap();
    run(folder.path(), "obverse-manual", "share").fails(1, &["share"]);
}

#[test]
fn the_page_of_measures_is_that_of_the_helps() {
    let (folder, _) = manual();
    let made = fs::read_to_string(folder.path().join("share/doc/obverse/measures.md")).unwrap();
    assert_kept("docs/measures.md", &made);
}
