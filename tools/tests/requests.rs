//! Every flag of every tool counts, unless it is known to change nothing.

// A panic is how a test fails, in what it calls too.
#![allow(clippy::unwrap_used)]

use clap::{Arg, ArgAction, Command};
use obverse::store::cache::{Freshness, Wanted, check};
use obverse::store::npy;
use obverse::store::sidecar::{Artifact, SCHEMA, Sidecar};
use obverse_tools::TOOLS;
use obverse_tools::request::{ChangesNothing, Declared, Request};
use serde_json::Map;

/// The flags that change no byte of an output.
const FREE: [&str; 15] = [
    "batch",
    "cache",
    "check",
    "checkpoint-minutes",
    "dry-run",
    "explain",
    "force",
    "json",
    "memory",
    "no-cache",
    "overwrite",
    "quiet",
    "rehash",
    "restart",
    "threads",
];

/// What some flag or other takes.
const VALUES: [&str; 21] = [
    "7",
    "0.25",
    "a.npy",
    "1,2",
    "0..2",
    "2/3",
    "3/2",
    "8x8",
    "a=b:0..1",
    "1,8,8",
    "-1,1",
    "uniform",
    "cosine",
    "none",
    "name:1,2",
    "0.5:2",
    "1:2",
    "0.1,0.2,0.3",
    "x",
    "1,2,3",
    "3,8,8",
];

fn parse(command: &Command, words: &[String]) -> Option<Request> {
    // Without what is required: one flag is tried at a time.
    let mut command = command.clone().ignore_errors(true);
    let matches = command.try_get_matches_from_mut(words).ok()?;
    Some(Request::of(&command, &matches))
}

/// Whether a strict parser takes this value of the argument.
fn takes(argument: &Arg, value: &str) -> bool {
    let alone = Arg::new("alone").long("alone").value_parser(argument.get_value_parser().clone());
    let command = Command::new("alone").arg(alone.num_args(1));
    command.try_get_matches_from(["alone", &format!("--alone={value}")]).is_ok()
}

fn values(argument: &Arg) -> Vec<String> {
    let default: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let possible = argument.get_possible_values();
    let names = possible.iter().map(|value| value.get_name().to_owned());
    let other =
        VALUES.iter().map(|value| (*value).to_owned()).filter(|value| possible.is_empty() && takes(argument, value));
    let wanted = argument.get_num_args().map_or(1, |range| range.min_values()).max(1);
    let value: Vec<_> = names.chain(other).find(|value| !default.contains(value)).into_iter().collect();
    value.iter().cycle().take(value.len() * wanted).cloned().collect()
}

/// Holds an output of `before` against what `after` asks.
fn is_stale(before: &Request, after: &Request) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.npy");
    let written: Artifact = npy::write(&output, &[1], &[1.0f32]).unwrap().into();
    let inputs = |request: &Request| -> Vec<Artifact> {
        let named = |(argument, path): &(String, std::path::PathBuf)| {
            // As if all files had the same content.
            Artifact { argument: Some(argument.clone()), ..Artifact::known(path, "same".into()) }
        };
        request.inputs.iter().map(named).collect()
    };
    let sidecar = Sidecar {
        schema: SCHEMA.into(),
        tool: "tool".into(),
        version: "0".into(),
        results: 1,
        command: Vec::new(),
        directory: ".".into(),
        request: before.values.clone(),
        resolved: Map::new(),
        seed: 0,
        inputs: inputs(before),
        output: written,
        companions: Vec::new(),
        metrics: Map::new(),
        wall_seconds: 0.0,
        cpu_seconds: None,
        peak_memory_bytes: None,
        circumstances: Default::default(),
    };
    sidecar.write(&Sidecar::path_of(&output).unwrap()).unwrap();
    let (request, defaults) = (after.values.clone(), after.defaults.clone());
    let wanted =
        Wanted { tool: "tool".into(), results: 1, request, defaults, inputs: inputs(after), ..Wanted::default() };
    match check(&output, &wanted) {
        Freshness::Fresh(_) => Vec::new(),
        Freshness::Stale(reasons) => reasons,
    }
}

/// Tries each flag of a command and of those below it; returns how many counted.
fn try_all(command: &Command, words: &[String], whole: &Command) -> usize {
    let before = parse(whole, words).unwrap();
    let mut counted = 0;
    for argument in command.get_arguments() {
        let Some(long) = argument.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
        let free = argument.get::<ChangesNothing>().is_some();
        // Of a training the batch decides the result.
        let known = FREE.contains(&long) && (free || long != "batch");
        assert_eq!(free, known, "{}: --{long}", words.join(" "));
        // What the tool digests itself: fid-score the network, with the features that it makes.
        let declared = argument.get::<Declared>().is_some();
        assert_eq!(declared, long == "net" && words[0] == "fid-score", "{}: --{long}", words.join(" "));
        if free || declared || long == "output" {
            continue;
        }
        let value = if matches!(argument.get_action(), ArgAction::SetTrue) { Vec::new() } else { values(argument) };
        let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
        assert!(is_switch || !value.is_empty(), "{}: no value known for --{long}", words.join(" "));
        let mut more = words.to_vec();
        match value.as_slice() {
            [one] => more.push(format!("--{long}={one}")),
            several => {
                more.push(format!("--{long}"));
                more.extend(several.iter().cloned());
            }
        }
        let reasons = is_stale(&before, &parse(whole, &more).unwrap());
        assert!(reasons.iter().any(|reason| reason.contains(long)), "{}: {reasons:?}", more.join(" "));
        counted += 1;
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let words = [words, &[below.get_name().to_owned()]].concat();
        counted += try_all(below, &words, whole);
    }
    counted
}

#[test]
fn every_flag_of_every_tool_makes_an_output_stale() {
    let mut counted = 0;
    for tool in TOOLS.iter().filter(|tool| !tool.name.starts_with("obverse-")) {
        let command = (tool.command)().name(tool.name);
        counted += try_all(&command, &[tool.name.to_owned()], &command);
    }
    assert!(counted > 200, "{counted} flags");
}
