//! Parts that a tool made with `--shard`, told by their sidecars: all of a whole must be there before they are joined.

use std::path::Path;

use anyhow::ensure;
use obverse::store::sidecar::Sidecar;
use serde_json::Value;

use crate::arguments::Shard;

/// Parts named as missing, however many a sidecar says there are.
const NAMED: usize = 16;

/// `--any-parts`, for tools that join parts.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct PartsArgument {
    /// Join the parts given even where their sidecars say that one is missing, twice there or out of order
    #[arg(long)]
    pub any_parts: bool,
}

/// A part, and what it is a part of.
struct Part<'a> {
    path: &'a Path,
    shard: Shard,
    /// All that decides the whole.
    whole: (String, Value),
}

impl<'a> Part<'a> {
    /// What the sidecar of `path` says; `None` where it has none that can be read, or is no part.
    fn of(path: &'a Path) -> Option<Self> {
        let Sidecar { tool, mut request, mut resolved, seed, inputs, .. } =
            Sidecar::read(&Sidecar::path_of(path)?).ok()?;
        // The first schema has it among what was resolved.
        let shard = request.remove("shard").or_else(|| resolved.remove("shard"))?;
        let shard: Shard = shard.as_str()?.parse().ok()?;
        let inputs: Vec<_> = inputs.into_iter().map(|input| input.blake3).collect();
        let whole = (tool, serde_json::json!([request, resolved, seed, inputs, shard.count()]));
        (!shard.is_whole()).then_some(Self { path, shard, whole })
    }
}

/// Checks of files of which each is a part that every part of its whole is there once and, where `ordered`, that they are in
/// order. Of files that are not all parts nothing is known, and nothing asked.
///
/// # Errors
/// A part that is missing, twice there or out of order, by its number.
pub fn check<P: AsRef<Path>>(paths: &[P], ordered: bool) -> anyhow::Result<()> {
    let Some(parts) = paths.iter().map(|path| Part::of(path.as_ref())).collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    for first in &parts {
        let path = first.path.display();
        let count = first.shard.count();
        let of_one: Vec<_> =
            parts.iter().filter(|part| part.whole == first.whole).map(|part| part.shard.index()).collect();
        let missing: Vec<_> = (1..=count)
            .filter(|index| !of_one.contains(index))
            .take(NAMED)
            .map(|index| format!("{index}/{count}"))
            .collect();
        ensure!(
            missing.is_empty(),
            "{path}: expected all {count} parts of the whole that it is {} of, found none for {}; make what is missing, with the \
             same arguments, or give --any-parts",
            first.shard,
            missing.join(", ")
        );
        ensure!(
            of_one.len() == count,
            "{path}: expected each of the {count} parts of its whole once, found {} files; leave out what is there twice, or \
             give --any-parts",
            of_one.len()
        );
        ensure!(
            !ordered || of_one.is_sorted(),
            "{path}: expected the parts of its whole in order, 1/{count} to {count}/{count}, found {}; name them in order, or give \
             --any-parts",
            of_one.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}
