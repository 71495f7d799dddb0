//! Completions that only a run can know: the nodes of the network on the command line.

use std::ffi::OsStr;
use std::path::Path;

use clap::builder::StyledStr;
use clap_complete::engine::CompletionCandidate;
use obverse::net::Graph;

/// The nodes, with their shapes, whose names begin with what was typed, of all network folders and files on the command line.
pub fn nodes(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let described = |path: &Path| path.is_dir() || path.extension().is_some_and(|extension| extension == "json");
    let words = std::env::args_os().skip(1);
    let graphs = words.filter(|word| described(Path::new(word))).filter_map(|word| Graph::load(Path::new(&word)).ok());
    let candidates = graphs.flat_map(|graph| {
        let named = |(place, node): (usize, &_)| candidate(&graph, place, node);
        graph.nodes.iter().enumerate().map(named).collect::<Vec<_>>()
    });
    candidates.filter(|candidate| candidate.get_value().to_string_lossy().starts_with(&*typed)).collect()
}

fn candidate(graph: &Graph, place: usize, node: &obverse::net::Node) -> CompletionCandidate {
    CompletionCandidate::new(&node.name).help(Some(StyledStr::from(graph.size(place).to_string())))
}
