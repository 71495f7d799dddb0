use std::fs;

use serde_json::{Map, json};

use super::*;
use crate::store::digest;
use crate::store::npy::write;
use crate::store::sidecar::{Artifact, SCHEMA, Sidecar};

/// A file with its sidecar, made by a tool from others.
fn made(folder: &Path, name: &str, tool: &str, inputs: &[&str], metrics: serde_json::Value) {
    let path = folder.join(name);
    let artifact = |name: &str| Artifact::known(name.as_ref(), digest::of_path(&folder.join(name)).unwrap());
    let sidecar = Sidecar {
        schema: SCHEMA.into(),
        tool: tool.into(),
        version: "0.1.0".into(),
        command: vec![tool.into(), "a file".into(), "-o".into(), name.into()],
        directory: ".".into(),
        results: 1,
        resolved: Map::new(),
        companions: Vec::new(),
        request: Map::from_iter([("title".to_owned(), json!("<b>"))]),
        seed: 7,
        inputs: inputs.iter().map(|input| artifact(input)).collect(),
        output: artifact(name),
        metrics: metrics.as_object().unwrap().clone(),
        wall_seconds: 2.0,
        cpu_seconds: Some(3.5),
        peak_memory_bytes: Some(120_000_000),
        circumstances: Default::default(),
    };
    sidecar.write(&Sidecar::path_of(&path).unwrap()).unwrap();
}

fn run() -> (tempfile::TempDir, Run) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(&path.join("given.npy"), &[2], &[1f32, 2.0]).unwrap();
    write(&path.join("z.npy"), &[2], &[3f32, 4.0]).unwrap();
    made(path, "z.npy", "fa-encode", &["given.npy"], json!({"mse": 0.25, "mse_standard_error": 0.01}));
    fs::create_dir(path.join("net")).unwrap();
    let epochs =
        "{\"epoch\":1,\"train_loss\":5.0,\"test_loss\":2.5}\n{\"epoch\":2,\"train_loss\":0.1,\"test_loss\":0.5}\n";
    fs::write(path.join("net/metrics.jsonl"), epochs).unwrap();
    made(path, "net", "net-fit", &["z.npy"], json!({"parameters": 1234}));
    let picture = image::RgbImage::new(5, 4);
    fs::write(path.join("p.png"), super::super::encode_png(&picture).unwrap()).unwrap();
    made(path, "p.png", "npy-view", &["z.npy"], json!({}));
    let run = Run::read(path, &path.join("report.html")).unwrap();
    (folder, run)
}

#[test]
fn the_page_holds_what_was_made_measured_and_drawn_and_asks_for_nothing() {
    let (_folder, run) = run();
    assert_eq!((run.outputs(), run.problems().count()), (3, 0));
    let claims: Claims = toml::from_str(
        "paper = 'P'\n[[claim]]\nat = 'Table 1'\nsays = 'small'\nstated = '0.2'\noutputs = ['z.npy']\nmetric = 'mse'\n\
         [[claim]]\nat = 'Table 2'\nsays = 'none'\noutputs = ['gone.npy']\nmetric = 'mse'",
    )
    .unwrap();
    let claims = [claims];
    let page = run.page("a & b", &claims).unwrap();
    assert_eq!(page, run.page("a & b", &claims).unwrap());
    for part in [
        "<title>a &#38; b</title>",
        "0.2500 ± 0.01000",
        "not run here",
        "&#60;b&#62;. Grid of images from z.npy",
        "width=\"5\" height=\"4\"",
        "loss of net by epoch: train from 5 to 0.1000, test from 2.500 to 0.5000",
        "1,234",
        "fa-encode &#39;a file&#39; -o z.npy",
        "3.5 s of processors, 120 MB",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(
        !page.contains("<b>")
            && !page.contains("http://")
            && !page.contains("https://")
            && !page.contains("id=\"problems\"")
    );
    // A line from what was given to the latents, and one to the network.
    assert_eq!(page.matches("<path d=").count(), 2);
}

#[test]
fn what_is_broken_is_named_and_the_rest_is_there() {
    let (folder, _) = run();
    let path = folder.path();
    fs::write(path.join("z.npy.json"), "{").unwrap();
    fs::write(path.join("p.png"), "no picture").unwrap();
    fs::write(path.join("net/metrics.jsonl"), "{").unwrap();
    fs::write(path.join("gone.npy.json"), fs::read(path.join("p.png.json")).unwrap()).unwrap();
    let run = Run::read(path, &path.join("report.html")).unwrap();
    let page = run.page("t", &[]).unwrap();
    for name in ["z.npy.json", "p.png", "net/metrics.jsonl", "gone.npy"] {
        assert!(page.contains(&format!("<li><code>{name}</code>: ")), "{name}\n{page}");
    }
    assert!(page.contains("1,234"));
}
