//! Which file was made from which: boxes in columns, each to the right of what it was made from.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::files::Entry;
use super::pictures::is_picture;

/// Width and height of a box, and the distances from one to the next.
const WIDTH: usize = 190;
const HEIGHT: usize = 34;
const ACROSS: usize = 250;
const DOWN: usize = 44;
/// Letters of a path that a box shows.
const LETTERS: usize = 27;

/// The boxes and the lines between them.
pub struct Graph {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    pub width: usize,
    pub height: usize,
}

/// A file or folder.
pub struct Node {
    /// Its place in the page; none for files not made here.
    pub id: Option<String>,
    /// Its whole path.
    pub path: String,
    /// Its end, as the box shows it.
    pub label: String,
    /// What made it.
    pub tool: String,
    pub x: usize,
    pub y: usize,
}

/// A line from a box to one made from it.
pub struct Edge {
    pub from: (usize, usize),
    pub to: (usize, usize),
    /// Where its bends are.
    pub middle: usize,
}

impl Graph {
    /// Outputs with their inputs, found by their content, or as files of a folder that was made here. Pictures have no box: they are shown above.
    pub fn of(entries: &[Entry]) -> Self {
        let made: Vec<&Entry> = entries.iter().filter(|entry| !is_picture(&entry.path)).collect();
        let by_digest: HashMap<&str, usize> =
            made.iter().enumerate().map(|(place, entry)| (entry.sidecar.output.blake3.as_str(), place)).collect();
        let folder = |(place, entry): (usize, &&Entry)| {
            Some((entry.full.canonicalize().ok().filter(|path| path.is_dir())?, place))
        };
        let folders: Vec<(PathBuf, usize)> = made.iter().enumerate().filter_map(folder).collect();
        let mut sources: BTreeMap<String, usize> = BTreeMap::new();
        let mut names: Vec<(Option<String>, String, String)> =
            made.iter().map(|entry| (Some(entry.id.clone()), entry.path.clone(), entry.sidecar.tool.clone())).collect();
        let mut inputs: Vec<Vec<usize>> = vec![Vec::new(); made.len()];
        for (place, entry) in made.iter().enumerate() {
            for input in &entry.sidecar.inputs {
                let known = by_digest.get(input.blake3.as_str()).copied().filter(|known| *known != place);
                let known = known.or_else(|| folder_of(entry, &input.path, &folders).filter(|known| *known != place));
                let from = known.unwrap_or_else(|| {
                    *sources.entry(input.path.clone()).or_insert_with(|| {
                        names.push((None, input.path.clone(), "given".to_owned()));
                        names.len() - 1
                    })
                });
                if !inputs[place].contains(&from) {
                    inputs[place].push(from);
                }
            }
        }
        inputs.resize(names.len(), Vec::new());
        Self::laid_out(names, &inputs)
    }

    fn laid_out(names: Vec<(Option<String>, String, String)>, inputs: &[Vec<usize>]) -> Self {
        // A box stands one column right of the last of its inputs. Contents may form a cycle (a copy of a copy): the number of
        // boxes bounds the rounds.
        let mut columns = vec![0usize; names.len()];
        for _ in 0..names.len() {
            let mut moved = false;
            for place in 0..names.len() {
                let wanted = inputs[place].iter().map(|&from| columns[from] + 1).max().unwrap_or(0).min(names.len());
                moved |= wanted > columns[place];
                columns[place] = columns[place].max(wanted);
            }
            if !moved {
                break;
            }
        }
        let last = columns.iter().copied().max().unwrap_or(0);
        let mut rows = vec![0usize; names.len()];
        let mut height = 0;
        for column in 0..=last {
            let mut here: Vec<usize> = (0..names.len()).filter(|&place| columns[place] == column).collect();
            // By the mean position of its inputs, then by name.
            let middle = |place: usize| {
                let from = &inputs[place];
                if from.is_empty() { 0 } else { from.iter().map(|&from| rows[from] * 1000).sum::<usize>() / from.len() }
            };
            here.sort_by_key(|&place| (middle(place), names[place].1.clone()));
            here.iter().enumerate().for_each(|(row, &place)| rows[place] = row);
            height = height.max(here.len());
        }
        let corner = |place: usize| (columns[place] * ACROSS + 4, rows[place] * DOWN + 4);
        let edges = inputs.iter().enumerate().flat_map(|(place, from)| {
            from.iter().map(move |&from| {
                let ((x, y), (left, top)) = (corner(place), corner(from));
                let (start, end) = ((left + WIDTH, top + HEIGHT / 2), (x, y + HEIGHT / 2));
                Edge { from: start, to: end, middle: (start.0 + end.0) / 2 }
            })
        });
        let edges = edges.collect();
        let node = |(place, (id, path, tool)): (usize, (Option<String>, String, String))| {
            let (x, y) = corner(place);
            Node { id, label: end_of(&path), path, tool, x, y }
        };
        let nodes = names.into_iter().enumerate().map(node).collect();
        Self { nodes, edges, width: last * ACROSS + WIDTH + 8, height: height * DOWN + 8 }
    }
}

/// The folder, made here, that an input lies in: the innermost.
fn folder_of(entry: &Entry, input: &str, folders: &[(PathBuf, usize)]) -> Option<usize> {
    let from = entry.sidecar_path.parent()?.join(&entry.sidecar.directory);
    let path = from.join(input).canonicalize().ok()?;
    let around = folders.iter().filter(|(folder, _)| path.starts_with(folder) && path != *folder);
    around.max_by_key(|(folder, _)| folder.components().count()).map(|(_, place)| *place)
}

/// The last letters of a path.
fn end_of(path: &str) -> String {
    let count = path.chars().count();
    if count <= LETTERS {
        path.to_owned()
    } else {
        format!("…{}", path.chars().skip(count + 1 - LETTERS).collect::<String>())
    }
}
