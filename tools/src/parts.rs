//! Outputs of `--shard`, recognised by their sidecars: all parts of a whole must be there before they are joined.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::ensure;
use obverse::store::sidecar::Sidecar;

use crate::arguments::Shard;

/// The most parts that an error lists as missing.
const NAMED: usize = 16;

/// `--any-parts`, for tools that join parts.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct PartsArgument {
    /// Join the parts even if one is missing, given twice or out of order
    #[arg(long)]
    pub any_parts: bool,
}

/// One part of a whole that was made with `--shard`.
struct ShardPart<'a> {
    path: &'a Path,
    shard: Shard,
    /// All that decides the whole.
    whole: String,
    /// The digest that its sidecar recorded.
    recorded: String,
}

impl<'a> ShardPart<'a> {
    /// What the sidecar of `path` says; `None` if there is no readable one, or the file is not a part.
    fn of(path: &'a Path) -> Option<Self> {
        let Sidecar { tool, mut request, mut resolved, seed, inputs, output, .. } =
            Sidecar::read(&Sidecar::path_of(path)?).ok()?;
        // The first schema has it among the resolved values.
        let shard = request.remove("shard").or_else(|| resolved.remove("shard"))?;
        let shard: Shard = shard.as_str()?.parse().ok()?;
        let inputs: Vec<_> = inputs.into_iter().map(|input| input.blake3).collect();
        let whole = serde_json::json!([tool, request, resolved, seed, inputs, shard.count()]).to_string();
        (!shard.is_whole()).then_some(Self { path, shard, whole, recorded: output.blake3 })
    }
}

/// Checks parts, given as files with their digests: each must be the file that its sidecar describes, every part of its whole must be
/// there once and, if `ordered`, they must be in order. Files without shard metadata are not checked.
///
/// # Errors
/// A part that is another file now; the numbers of parts that are missing, given twice or out of order.
pub fn check<'a>(files: impl IntoIterator<Item = (&'a Path, &'a str)>, ordered: bool) -> anyhow::Result<()> {
    let of_file = |(path, digest): (&'a Path, &'a str)| ShardPart::of(path).map(|part| (part, digest));
    let Some(parts) = files.into_iter().map(of_file).collect::<Option<Vec<_>>>() else { return Ok(()) };
    let mut wholes: Vec<Vec<&ShardPart>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (part, digest) in &parts {
        ensure!(
            part.recorded == *digest,
            "{}: expected part {} that its sidecar describes, found another file; make the part again, or give --any-parts",
            part.path.display(),
            part.shard
        );
        let place = *places.entry(&part.whole).or_insert(wholes.len());
        if place == wholes.len() {
            wholes.push(Vec::new());
        }
        wholes[place].push(part);
    }
    wholes.iter().try_for_each(|whole| check_whole(whole, ordered))
}

/// Checks the parts of one whole.
fn check_whole(parts: &[&ShardPart], ordered: bool) -> anyhow::Result<()> {
    let Some(first) = parts.first() else { return Ok(()) };
    let (path, count) = (first.path.display(), first.shard.count());
    let of_one: Vec<_> = parts.iter().map(|part| part.shard.index()).collect();
    let there: HashSet<_> = of_one.iter().copied().collect();
    let missing: Vec<_> = (1..=count)
        .filter(|index| !there.contains(index))
        .take(NAMED)
        .map(|index| format!("{index}/{count}"))
        .collect();
    ensure!(
        missing.is_empty(),
        "{path}: it is part {} of a whole: expected all {count} parts, found none for {}; make the missing parts with the same \
         arguments, or give --any-parts",
        first.shard,
        missing.join(", ")
    );
    ensure!(
        of_one.len() == count,
        "{path}: expected each of the {count} parts of its whole once, found {} files; leave out the duplicates, or give \
         --any-parts",
        of_one.len()
    );
    ensure!(
        !ordered || of_one.is_sorted(),
        "{path}: expected the parts of its whole in order, 1/{count} to {count}/{count}, found {}; name them in order, or give \
         --any-parts",
        of_one.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    );
    Ok(())
}
