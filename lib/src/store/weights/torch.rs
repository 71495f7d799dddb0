//! PyTorch's state dictionaries. A pickle names the tensors, each a view of a storage kept outside it: in a zip as
//! `<name>/data/<key>`, in the older stream one after the other behind the pickles.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};

use super::{Broken, Named, Number, Tensor};
use crate::store::pickle::{Item, Pickle, Value};

type Result<T> = std::result::Result<T, Broken>;

/// The first object of the older stream, 0x1950a86a20f9469cfc6c, as a pickle holds it: ten bytes, the lowest first.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The names under which checkpoints keep the dictionary; what was averaged in training comes after what was trained.
const KEPT_UNDER: [&str; 8] =
    ["state_dict", "model_state_dict", "model_state", "model", "module", "state_dict_ema", "model_ema", "ema"];

/// How many dictionaries may lie around that of the tensors.
const NESTED: usize = 4;

/// How many times the file's size its storages may be: PyTorch does not compress them, others do.
const PACKED: u128 = 16;

/// How often a stored value may appear in tensors: tied weights appear twice.
const SHARED: u128 = 8;

/// Bytes or values that are always allowed on top of that.
const SMALL: u128 = 1 << 20;

/// A tensor as a view of a storage.
struct View {
    name: String,
    storage: String,
    offset: usize,
    shape: Vec<usize>,
    stride: Vec<usize>,
}

/// A storage's type, `None` for whole numbers, and its length in elements.
#[derive(Clone, Copy)]
struct Storage {
    number: Option<Number>,
    size: usize,
    length: usize,
}

/// A dictionary of tensors.
struct Dictionary {
    views: Vec<View>,
    storages: HashMap<String, Storage>,
    /// The names of the dictionaries around it, from the outside in.
    around: Vec<String>,
}

/// The format of PyTorch 1.6 and after: a zip.
pub(super) fn archive(bytes: &[u8]) -> Result<Named> {
    let damaged = |error: zip::result::ZipError| Broken::new("a zip archive of PyTorch", error);
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let names: Vec<String> =
        zip.file_names().map(|name| Ok(name.map_err(damaged)?.into_owned())).collect::<Result<_>>()?;
    let root = names.iter().find_map(|name| name.strip_suffix("data.pkl"));
    let root = root.ok_or_else(|| Broken::new("a zip archive with data.pkl, as torch.save writes it", "none"))?;
    let mut member = |name: &str, limit: usize| -> Result<Vec<u8>> {
        let file = zip.by_name(&format!("{root}{name}")).map_err(damaged)?;
        let mut content = Vec::new();
        file.take(limit as u64).read_to_end(&mut content).map_err(|error| Broken::new(name, error))?;
        Ok(content)
    };
    let order = if names.contains(&format!("{root}byteorder")) { member("byteorder", 16)? } else { b"little".to_vec() };
    if order != b"little" {
        return Err(Broken::new("little-endian values", String::from_utf8_lossy(&order)));
    }
    // No honest pickle is longer than the file: it is stored, not compressed.
    let dictionary = member("data.pkl", bytes.len())?;
    let pickle = parsed(&dictionary)?;
    let Dictionary { views, storages, around } = found(&pickle)?;
    check_claims(&views, &storages, bytes.len())?;
    let mut kept = HashMap::new();
    for (key, storage) in &storages {
        if storage.number.is_some() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            kept.insert(key.clone(), member(&format!("data/{key}"), bytes.len())?);
        }
    }
    Ok((tensors(&views, &storages, |key| kept.get(key).map(Vec::as_slice))?, around))
}

/// The older format: pickles, and then the storages.
pub(super) fn stream(bytes: &[u8]) -> Result<Named> {
    let first = parsed(bytes)?;
    let is_magic = match first.root().value() {
        Value::Large(number) => number.starts_with(&MAGIC) && number[MAGIC.len()..].iter().all(|&byte| byte == 0),
        _ => false,
    };
    if !is_magic {
        return Err(Broken::new("PyTorch's magic number in the first pickle", "another pickle"));
    }
    let mut position = first.length();
    // The protocol's version and the system's description.
    for _ in 0..2 {
        position += parsed(rest(bytes, position)?)?.length();
    }
    let dictionary = parsed(rest(bytes, position)?)?;
    position += dictionary.length();
    let Dictionary { views, storages, around } = found(&dictionary)?;
    check_claims(&views, &storages, bytes.len())?;
    let keys = parsed(rest(bytes, position)?)?;
    position += keys.length();
    let mut kept: HashMap<String, &[u8]> = HashMap::new();
    for key in keys.root().elements().unwrap_or_default() {
        let key = text_of(&key).ok_or_else(|| Broken::new("keys of storages", "something else"))?;
        let storage = storages
            .get(&key)
            .ok_or_else(|| Broken::new("storages that the dictionary names", format!("\"{key}\"")))?;
        let (count, after) = rest(bytes, position)?.split_first_chunk::<8>().ok_or_else(cut_short)?;
        let length = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(storage.size));
        let content = length.and_then(|length| after.get(..length)).ok_or_else(cut_short)?;
        kept.insert(key, content);
        position += 8 + content.len();
    }
    Ok((tensors(&views, &storages, |key| kept.get(key).copied())?, around))
}

/// Checks, before anything is copied, that the storages are not many times the file and the views not many times the storages.
fn check_claims(views: &[View], storages: &HashMap<String, Storage>, file: usize) -> Result<()> {
    let stored: u128 = storages.values().map(|storage| storage.length as u128 * storage.size as u128).sum();
    let most = PACKED * (file as u128 + SMALL);
    if stored > most {
        return Err(Broken::new(
            format!("storages of at most {most} bytes in a file of {file}"),
            format!("{stored} bytes"),
        ));
    }
    let values = |view: &View| view.shape.iter().fold(1u128, |count, &axis| count.saturating_mul(axis as u128));
    let viewed = views.iter().fold(0u128, |sum, view| sum.saturating_add(values(view)));
    let held: u128 = storages.values().map(|storage| storage.length as u128).sum();
    let most = SHARED * (held + SMALL);
    if viewed > most {
        return Err(Broken::new(
            format!("tensors of at most {most} values together"),
            format!("{viewed} of {held} stored"),
        ));
    }
    Ok(())
}

fn cut_short() -> Broken {
    Broken::new("a whole file", "one that is cut short")
}

fn rest(bytes: &[u8], position: usize) -> Result<&[u8]> {
    bytes.get(position..).ok_or_else(cut_short)
}

fn parsed(bytes: &[u8]) -> Result<Pickle<'_>> {
    Pickle::parse(bytes).map_err(|error| Broken::new("a pickle of PyTorch", error))
}

/// A key of a storage: text, or a number in the oldest files.
fn text_of(item: &Item) -> Option<String> {
    item.text().map(|text| text.into_owned()).or_else(|| item.integer().map(|number| number.to_string()))
}

/// The dictionary of the tensors, and the storages they lie in.
fn found(pickle: &Pickle) -> Result<Dictionary> {
    let is_dictionary = |item: &Item| item.entries().is_some() && tensor_of(item).is_none();
    let (mut dictionary, mut around) = (pickle.root(), Vec::new());
    // Only so many, because a dictionary in a hostile file may contain itself.
    while around.len() < NESTED
        && let Some((name, inner)) =
            KEPT_UNDER.iter().find_map(|name| Some((name, dictionary.entry(name).filter(|item| is_dictionary(item))?)))
    {
        around.push(name.to_string());
        dictionary = inner;
    }
    let entries = dictionary
        .entries()
        .ok_or_else(|| Broken::new("a state dictionary (torch.save of model.state_dict())", "another object"))?;
    let (mut views, mut storages) = (Vec::new(), HashMap::new());
    for (name, value) in entries {
        let Some(name) = name.text() else { continue };
        let Some(tensor) = tensor_of(&value) else { continue };
        let (view, storage) = view(name.into_owned(), &tensor)?;
        storages.insert(view.storage.clone(), storage);
        views.push(view);
    }
    match views.is_empty() {
        true => Err(Broken::new("tensors in the state dictionary", "none")),
        false => Ok(Dictionary { views, storages, around }),
    }
}

/// The arguments of the call that rebuilds a tensor, or of the one inside a parameter. Only one level is followed, because a parameter
/// in a hostile file may contain itself.
fn tensor_of<'p>(item: &Item<'p>) -> Option<Vec<Item<'p>>> {
    match item.callable()? {
        "torch._utils._rebuild_parameter" => rebuilt(item.arguments().first()?),
        _ => rebuilt(item),
    }
}

fn rebuilt<'p>(item: &Item<'p>) -> Option<Vec<Item<'p>>> {
    let is_tensor = matches!(item.callable()?, "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2");
    is_tensor.then(|| item.arguments())
}

fn view(name: String, arguments: &[Item]) -> Result<(View, Storage)> {
    let wrong = || Broken::new(format!("a tensor (storage, offset, size, stride) as \"{name}\""), "something else");
    let [storage, offset, shape, stride, ..] = arguments else { return Err(wrong()) };
    let index = |item: &Item| item.integer().and_then(|value| usize::try_from(value).ok());
    let indices = |item: &Item| item.elements()?.iter().map(index).collect::<Option<Vec<_>>>();
    let identifier = storage.persistent().and_then(|id| id.elements()).unwrap_or_default();
    let [_, kind, key, _, length, ..] = identifier.as_slice() else { return Err(wrong()) };
    let Value::Global(kind) = kind.value() else { return Err(wrong()) };
    let (number, size) = match kind.rsplit('.').next() {
        Some("DoubleStorage") => (Some(Number::F64), 8),
        Some("FloatStorage") => (Some(Number::F32), 4),
        Some("HalfStorage") => (Some(Number::F16), 2),
        Some("BFloat16Storage") => (Some(Number::Bf16), 2),
        Some("LongStorage") => (None, 8),
        Some("IntStorage") => (None, 4),
        Some("ShortStorage") => (None, 2),
        Some("CharStorage" | "ByteStorage" | "BoolStorage") => (None, 1),
        _ => return Err(Broken::new(format!("a storage of floats or whole numbers for \"{name}\""), kind)),
    };
    let parts = (text_of(key), index(length), index(offset), indices(shape), indices(stride));
    let (Some(key), Some(length), Some(offset), Some(shape), Some(stride)) = parts else { return Err(wrong()) };
    if shape.len() != stride.len() {
        return Err(wrong());
    }
    Ok((View { name, storage: key, offset, shape, stride }, Storage { number, size, length }))
}

/// Every tensor of floats, copied out of its storage.
fn tensors<'b>(
    views: &[View],
    storages: &HashMap<String, Storage>,
    bytes: impl Fn(&str) -> Option<&'b [u8]>,
) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for view in views {
        let Some((storage, number)) = storages.get(&view.storage).and_then(|it| Some((it, it.number?))) else {
            continue;
        };
        let content = bytes(&view.storage)
            .ok_or_else(|| Broken::new(format!("the storage \"{}\" of \"{}\"", view.storage, view.name), "none"))?;
        if content.len() / storage.size != storage.length || content.len() % storage.size != 0 {
            let expected = format!("{} values in the storage of \"{}\"", storage.length, view.name);
            return Err(Broken::new(expected, format!("{} bytes", content.len())));
        }
        let values = viewed(view, number, content)
            .ok_or_else(|| Broken::new(format!("\"{}\" to lie within its storage", view.name), "a view beyond it"))?;
        tensors.insert(view.name.clone(), Tensor { shape: view.shape.clone(), values });
    }
    Ok(tensors)
}

/// The values of a view in row order; `None` if it goes beyond its storage or holds more values than the storage.
fn viewed(view: &View, number: Number, content: &[u8]) -> Option<Vec<f32>> {
    let length = content.len() / number.size();
    let count = view.shape.iter().try_fold(1usize, |count, &axis| count.checked_mul(axis))?;
    if count == 0 {
        return Some(Vec::new());
    }
    let spans = view.shape.iter().zip(&view.stride);
    let last = spans
        .clone()
        .try_fold(view.offset, |last, (&axis, &stride)| last.checked_add((axis - 1).checked_mul(stride)?))?;
    if last >= length || count > length {
        return None;
    }
    let mut expected = 1;
    let contiguous = spans.rev().all(|(&axis, &stride)| {
        let fits = axis == 1 || stride == expected;
        expected *= axis;
        fits
    });
    if contiguous {
        return Some(number.decoded(&content[view.offset * number.size()..(view.offset + count) * number.size()]));
    }
    // Only the view's own values are decoded: thousands of small views may lie in one large storage.
    let size = number.size();
    let mut place = vec![0; view.shape.len()];
    let mut bytes = Vec::with_capacity(count * size);
    for _ in 0..count {
        let at = place.iter().zip(&view.stride).map(|(place, stride)| place * stride).sum::<usize>();
        bytes.extend_from_slice(&content[(view.offset + at) * size..][..size]);
        for (place, &axis) in place.iter_mut().zip(&view.shape).rev() {
            *place += 1;
            if *place < axis {
                break;
            }
            *place = 0;
        }
    }
    Some(number.decoded(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(views: usize, storages: usize, length: usize, file: usize) -> Result<()> {
        let view = |number: usize| View {
            name: number.to_string(),
            storage: (number % storages).to_string(),
            offset: 0,
            shape: vec![length],
            stride: vec![1],
        };
        let views: Vec<View> = (0..views).map(view).collect();
        let storage = Storage { number: Some(Number::F32), size: 4, length };
        check_claims(&views, &(0..storages).map(|key| (key.to_string(), storage)).collect(), file)
    }

    #[test]
    fn many_views_of_one_storage_and_storages_larger_than_their_file_are_refused() {
        // As VGG-16 is stored, and the same with every weight tied.
        assert!(claims(1, 1, 138_000_000, 553_000_000).is_ok() && claims(2, 1, 138_000_000, 553_000_000).is_ok());
        assert!(claims(20_000, 1, 100_000, 2_669_246).is_err());
        assert!(claims(1500, 1500, 500_000, 3_300_000).is_err());
    }
}
