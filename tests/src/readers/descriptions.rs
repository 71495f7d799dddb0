//! Sidecars, checkpoints, manifests, and a paper's claims.

use std::fs;

use obverse::data::manifest::Manifest;
use obverse::report::{Claims, metric_of_output};
use obverse::store::cache;
use obverse::store::npy;
use obverse::store::sidecar::Sidecar;
use obverse::tensor::batch;
use obverse::train::checkpoint::{self, Checkpoint, Position};
use obverse::train::seal;
use serde_json::{Map, Value, json};

use super::Outcome;
use super::scratch::{joined, parted, with_folder, write};
use crate::checkout;

/// A sidecar is the same after it is written, and can be held against what lies there.
pub fn sidecar(bytes: &[u8]) -> Outcome {
    with_folder(|folder| {
        let folder = folder.join("sidecar");
        let output = folder.join("a.npy");
        write(&folder.join("a.npy.json"), bytes);
        npy::write(&output, &[2], &[1u8, 2])?;
        let sidecar = Sidecar::read(&folder.join("a.npy.json"))?;
        let path = folder.join("again.json");
        sidecar.write(&path)?;
        assert_eq!(Sidecar::read(&path)?, sidecar);
        cache::damage(&output, &sidecar);
        let _ = metric_of_output(&output, "loss");
        Ok(())
    })
}

pub fn sidecar_seeds() -> Vec<Vec<u8>> {
    let whole = json!({
        "schema": "obverse-run/2", "tool": "npy-cat", "version": "0.1.0", "command": ["npy-cat", "b.npy"], "directory": ".",
        "results": 1, "parameters": {"limit": 2}, "resolved": {"rows": 2}, "seed": 0,
        "inputs": [{"argument": "INPUT", "path": "b.npy", "shape": [2], "dtype": "u8", "blake3": "00"}],
        "output": {"path": "a.npy", "shape": [2], "dtype": "u8", "blake3": "00", "files": {"x": "00"}},
        "companions": [{"path": "again.json", "blake3": "00"}], "metrics": {"loss": 0.5, "loss_interval": [0.1, 0.9]},
        "wall_seconds": 0.5, "cpu_seconds": 1.5, "peak_memory_bytes": 1000, "date": "2026-01-01T00:00:00Z",
        "processor": ["avx2"], "threads": 2,
    });
    let older = r#"{"schema":"obverse-run/1","tool":"t","version":"0","command":[],"directory":"..","parameters":{"a":1},
"seed":18446744073709551615,"inputs":[],"output":{"path":"-","blake3":""},"metrics":{},"wall_seconds":1e-9}"#;
    vec![whole.to_string().into_bytes(), older.into()]
}

/// What the checkpoints here are of.
fn identity() -> Value {
    json!({"request": {"epochs": 10, "seed": 0}})
}

/// A checkpoint's `run.json` beside an array.
pub fn checkpoint(bytes: &[u8]) -> Outcome {
    with_folder(|folder| {
        let folder = folder.join("checkpoint");
        write(&folder.join("net.checkpoint/run.json"), bytes);
        npy::write(&folder.join("net.checkpoint/net.0.value.npy"), &[2], &[1.0f32, 2.0])?;
        Checkpoint::of(&folder.join("net"), identity()).find().map(drop).map_err(Into::into)
    })
}

pub fn checkpoint_seeds() -> Vec<Vec<u8>> {
    with_folder(|folder| {
        let checkpoint = Checkpoint::of(&folder.join("seed"), identity());
        let save = |folder: &std::path::Path| {
            npy::write(&folder.join("net.0.value.npy"), &[2], &[1.0f32, 2.0]).map(drop).map_err(Into::into)
        };
        checkpoint.write(&Position { update: 7, ..Position::default() }, save).expect("a scratch folder");
        vec![fs::read(checkpoint.folder().join("run.json")).expect("what was written")]
    })
}

/// A checkpoint behind a seal that is right: its content, and an array that is restored.
pub fn sealed(bytes: &[u8]) -> Outcome {
    let (content, array) = parted(bytes);
    let content: Map<String, Value> = serde_json::from_slice(content)?;
    with_folder(|folder| {
        let folder = folder.join("sealed");
        let inside = folder.join("net.checkpoint");
        write(&inside.join("net.0.value.npy"), array);
        npy::write(&inside.join("net.updates.npy"), &[1], &[3u64])?;
        for moment in ["first", "second"] {
            npy::write(&inside.join(format!("net.0.{moment}.npy")), &[2], &[1.0f32, 2.0])?;
        }
        seal::seal(&inside, content)?;
        Checkpoint::of(&folder.join("net"), identity()).find()?;
        let mut parameters = [batch(vec![0.0f32; 2], (1, 1, 1, 2))];
        checkpoint::restore_parameters(&inside, "net", &mut parameters).map(drop).map_err(Into::into)
    })
}

pub fn sealed_seeds() -> Vec<Vec<u8>> {
    let position = Position { epoch: 1, update: 7, ..Position::default() };
    let content = json!({"identity": identity(), "position": position});
    with_folder(|folder| {
        let path = folder.join("seed.npy");
        npy::write(&path, &[2], &[1.0f32, 2.0]).expect("a scratch file");
        vec![joined(content.to_string().as_bytes(), &fs::read(&path).expect("a scratch file"))]
    })
}

pub fn manifest(bytes: &[u8]) -> Outcome {
    std::str::from_utf8(bytes)?.parse::<Manifest>()?;
    Ok(())
}

pub fn manifest_seeds() -> Vec<Vec<u8>> {
    ["mnist.toml", "celeba.toml"].map(|name| file(&format!("data/{name}"))).into()
}

pub fn claims(bytes: &[u8]) -> Outcome {
    toml::from_str::<Claims>(std::str::from_utf8(bytes)?)?;
    Ok(())
}

pub fn claims_seeds() -> Vec<Vec<u8>> {
    vec![file("pipelines/claims/shapes.toml")]
}

fn file(name: &str) -> Vec<u8> {
    fs::read(checkout().join(name)).expect("a file of the checkout")
}
