//! Arrays: `.npy`, `.npy.zst`, `.npz`, and the statistics that lie in one.

use std::io::{Cursor, Write};
use std::path::Path;

use obverse::fidelity::moments::Moments;
use obverse::fidelity::statistics::Statistics;
use obverse::store::npy::{self, Dtype, Reader, Writer};
use obverse::store::npz::{self, Array};
use obverse::store::staged::Staged;

use super::Outcome;
use super::scratch::{with_file, with_folder};

/// Names that are looked for in `.npz` files.
const NAMES: [&str; 3] = ["a", "b", "mu"];

pub fn npy(bytes: &[u8]) -> Outcome {
    with_file("a.npy", bytes, |path| array(path).map(drop))
}

pub fn zst(bytes: &[u8]) -> Outcome {
    with_file("a.npy.zst", bytes, |path| array(path).map(drop))
}

/// What is read of a compressed array is what is read of the array.
pub fn zst_content(bytes: &[u8]) -> Outcome {
    let compressed = zstd::encode_all(bytes, 1)?;
    let unpacked = with_file("a.npy.zst", &compressed, array);
    let plain = with_file("a.npy", bytes, array);
    assert_eq!(unpacked.as_ref().ok(), plain.as_ref().ok());
    unpacked.map(drop)
}

/// Reads an array in every way there is, and writes it again; returns its shape and bytes.
fn array(path: &Path) -> Result<(Vec<usize>, Vec<u8>), Box<dyn std::error::Error>> {
    let mut reader = Reader::open(path)?;
    reader.digest()?;
    let (rows, shape) = (reader.rows(), reader.shape().to_vec());
    let bytes = reader.read_bytes(rows)?;
    assert_eq!(bytes.len(), shape.iter().product::<usize>() * reader.dtype().size());
    reader.seek(rows / 2);
    let floats: Vec<f64> = reader.read_rows_as_float(rows)?;
    assert_eq!(floats.len(), (rows - rows / 2) * reader.row_len());
    let floats: Vec<f32> = reader.read_row_range_as_float_at(0, 1)?;
    let _ = npy::require_finite(path, &floats, 0, reader.row_len());
    reader.seek(0);
    let _ = reader.read_rows_as_integer(rows);
    let _ = reader.read_row_range_at::<u8>(rows / 3, rows);
    let _ = npy::read::<f32>(path);
    let _ = npy::read::<u8>(path);
    if !shape.is_empty() {
        written(reader.dtype(), reader.row_shape(), &bytes)?;
    }
    Ok((shape, bytes))
}

/// Writes an array's bytes and reads them again.
fn written(dtype: Dtype, row_shape: &[usize], bytes: &[u8]) -> Outcome {
    with_folder(|folder| {
        let path = folder.join("again.npy");
        let mut writer = Writer::create(&path, dtype, row_shape)?;
        writer.write_bytes(bytes)?;
        writer.finish()?;
        let mut again = Reader::open(&path)?;
        assert_eq!((again.dtype(), again.row_shape()), (dtype, row_shape));
        let rows = again.rows();
        assert_eq!(again.read_bytes(rows)?, bytes);
        Ok(())
    })
}

/// A file in NumPy's first format.
fn plain(descr: &str, order: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes(), body].concat()
}

pub fn npy_seeds() -> Vec<Vec<u8>> {
    let body: Vec<u8> = (0..48).collect();
    vec![
        plain("<f4", "False", "(2, 3)", &body[..24]),
        plain("<f8", "True", "(2, 3)", &body),
        plain(">i2", "False", "(4, 3)", &body[..24]),
        plain("|u1", "True", "(2, 3, 2, 2)", &body[..24]),
        plain("<i8", "False", "(6,)", &body),
        plain("<u8", "False", "()", &body[..8]),
        plain("|b1", "False", "(0, 5)", &[]),
        plain("<f2", "False", "(3, 2)", &body[..12]),
    ]
}

/// Arrays of types and orders that a member may have.
pub fn npz_member_seeds() -> Vec<Vec<u8>> {
    let body: Vec<u8> = (0..48).collect();
    vec![
        plain("<f4", "False", "(2, 3)", &body[..24]),
        plain("<f8", "True", "(6,)", &body),
        plain("<i8", "False", "()", &body[..8]),
        plain("|u1", "False", "(0, 5)", &[]),
    ]
}

pub fn zst_seeds() -> Vec<Vec<u8>> {
    npy_seeds().iter().map(|array| zstd::encode_all(array.as_slice(), 1).expect("memory")).collect()
}

pub fn npz(bytes: &[u8]) -> Outcome {
    with_file("a.npz", bytes, members)
}

/// Reads the members of a file and writes them again.
fn members(path: &Path) -> Outcome {
    let members = npz::read(path, &NAMES)?;
    let floats = members.iter().map(|(name, member)| (name.as_str(), Array::Float(&member.shape, &member.values)));
    let floats: Vec<_> = floats.collect();
    let path = path.with_file_name("again.npz");
    npz::stage(&path, &floats)?.place()?;
    let again = npz::read(&path, &NAMES)?;
    assert_eq!(members.len(), again.len());
    for (member, again) in members.values().zip(again.values()) {
        // Not by value, since NaN is no number.
        assert_eq!(member.shape, again.shape);
        assert!(member.values.iter().map(|value| value.to_bits()).eq(again.values.iter().map(|value| value.to_bits())));
    }
    Ok(())
}

/// A member behind a checksum that is right.
pub fn npz_member(bytes: &[u8]) -> Outcome {
    with_file("a.npz", &zip_of(&[("a.npy", bytes)], zip::CompressionMethod::Deflated), members)
}

/// A zip of these members.
pub fn zip_of(members: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, content) in members {
        zip.start_file(*name, options).expect("a name that is new");
        zip.write_all(content).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}

pub fn npz_seeds() -> Vec<Vec<u8>> {
    let arrays = npz_member_seeds();
    let members = [("a.npy", arrays[0].as_slice()), ("b.npy", arrays[1].as_slice())];
    [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated].map(|method| zip_of(&members, method)).into()
}

pub fn statistics(bytes: &[u8]) -> Outcome {
    with_file("a.stats.npz", bytes, |path| {
        let statistics = Statistics::load(path)?;
        statistics.moments.covariance().map(drop).map_err(Into::into)
    })
}

pub fn statistics_seeds() -> Vec<Vec<u8>> {
    let moments = Moments::of(&[0.5, 1.0, 2.0, -1.0, 0.0, 3.0], 2);
    with_folder(|folder| {
        let path = folder.join("seed.npz");
        Statistics { spatial: Some(Moments::of(&[0.5, 1.0, 2.0], 1)), ..Statistics::of(moments) }
            .stage(&path)
            .and_then(Staged::place)
            .expect("a scratch file");
        vec![std::fs::read(&path).expect("a scratch file")]
    })
}
