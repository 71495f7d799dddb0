//! Pictures among the outputs, as they are put into the page.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::ImageReader;

use super::files::{Entry, Problem};
use crate::store;

/// A picture with its caption.
pub struct Picture {
    /// Its output's place in the page.
    pub id: String,
    /// Its path.
    pub path: String,
    /// The picture itself, as a `data:` address.
    pub source: String,
    /// Its size in pixels, if it is made of pixels.
    pub size: Option<(u32, u32)>,
    /// What it shows, for readers who cannot see it.
    pub alternative: String,
    /// The caption below it, next to its path.
    pub words: String,
}

/// Whether an output is a picture.
pub(crate) fn is_picture(path: &str) -> bool {
    path.ends_with(".png") || path.ends_with(".svg")
}

/// The pictures of a run; SVG is preferred to PNG where both exist. And those that cannot be shown.
pub fn of(entries: &[Entry]) -> (Vec<Picture>, Vec<Problem>) {
    let has_shapes = |path: &str| {
        let shapes = path.strip_suffix(".png").map(|stem| format!("{stem}.svg"));
        shapes.is_some_and(|shapes| entries.iter().any(|entry| entry.path == shapes))
    };
    let (mut pictures, mut problems) = (Vec::new(), Vec::new());
    for entry in entries.iter().filter(|entry| is_picture(&entry.path) && !has_shapes(&entry.path)) {
        match picture(entry) {
            Ok(picture) => pictures.push(picture),
            Err(what) => problems.push(Problem { path: entry.path.clone(), what }),
        }
    }
    (pictures, problems)
}

fn picture(entry: &Entry) -> Result<Picture, String> {
    let bytes = fs::read(&entry.full).map_err(|error| store::Error::read(&entry.full)(error).to_string())?;
    let (kind, size) = match entry.path.ends_with(".svg") {
        true => ("svg+xml", None),
        false => {
            let reader = ImageReader::new(std::io::Cursor::new(&bytes)).with_guessed_format();
            let size = reader.map_err(|error| error.to_string())?.into_dimensions();
            ("png", Some(size.map_err(|error| format!("cannot be shown: {error}; make it again"))?))
        }
    };
    let words = words(entry);
    let (id, path) = (entry.id.clone(), entry.path.clone());
    Ok(Picture { id, path, source: source(kind, &bytes), size, alternative: words.clone(), words })
}

/// All of a picture as `data:`, by the end of its media type.
pub fn source(kind: &str, bytes: &[u8]) -> String {
    format!("data:image/{kind};base64,{}", BASE64.encode(bytes))
}

/// What a picture shows: its title, from what it was drawn, and the captions of the parts.
fn words(entry: &Entry) -> String {
    let sidecar = &entry.sidecar;
    let said = |name: &str| sidecar.value(name).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
    let names = sidecar.inputs.iter().map(|input| input.path.rsplit('/').next().unwrap_or(&input.path));
    let sources = names.take(6).collect::<Vec<_>>().join(", ");
    let kind = match (entry.path.ends_with(".svg"), sidecar.value("plot").is_some()) {
        (true, _) | (_, true) => "Figure",
        _ => "Grid of images",
    };
    let captions = sidecar
        .value("captions")
        .and_then(|captions| captions.as_array())
        .map(|captions| captions.iter().filter_map(|caption| caption.as_str()).collect::<Vec<_>>().join(", "));
    let title = said("title").map(|title| format!("{title}. ")).unwrap_or_default();
    let parts = captions.filter(|captions| !captions.is_empty()).map(|captions| format!("; its parts: {captions}"));
    format!("{title}{kind} from {sources}{}", parts.unwrap_or_default())
}
