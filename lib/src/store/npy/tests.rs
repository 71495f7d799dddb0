//! Tests of `npy`: round trips, NumPy's other layouts, hostile files. `ndarray-npy` is the second opinion.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ndarray::{Array3, ArrayD, ShapeBuilder};
use ndarray_npy::{ReadNpyExt, ReadableElement, WriteNpyExt};
use proptest::prelude::*;

use super::*;
use crate::store::{Error, digest};

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("array.npy");
    (folder, path)
}

/// A file of a header text and a body, as no writer would make it.
fn forge(path: &Path, text: &str, body: &[u8]) {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(text.len() as u16 + 1).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    fs::write(path, bytes).unwrap();
}

fn forge_shape(path: &Path, descr: &str, shape: &str, body: &[u8]) {
    forge(path, &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"), body);
}

fn round_trip<T: Scalar + PartialEq + ReadableElement + fmt::Debug>(name: &str, values: [T; 6]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let written = write(&path, &[3, 2], &values).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!((reader.dtype(), reader.shape()), (T::DTYPE, &[3, 2][..]));
    assert_eq!(reader.digest().unwrap(), written.blake3);
    assert_eq!(digest::of_file(&path).unwrap(), written.blake3);
    assert_eq!(reader.read_rows::<T>(2).unwrap(), values[..4]);
    assert_eq!(reader.read_rows::<T>(2).unwrap(), values[4..]);
    assert!(reader.read_rows::<T>(2).unwrap().is_empty());
    assert_eq!(reader.read_row_range_at::<T>(1, 1).unwrap(), values[2..4]);
    assert_eq!(read::<T>(&path).unwrap().into_raw_vec_and_offset().0, values);
    let floats: Vec<f64> = values.iter().map(|value| value.to_f64().unwrap()).collect();
    assert_eq!(reader.read_row_range_as_float_at::<f64>(0, 3).unwrap(), floats);
}

#[test]
fn every_type_returns_from_a_file_plain_or_compressed() {
    for name in ["a.npy", "a.npy.zst"] {
        round_trip(name, [i8::MIN, -1, 0, 1, 2, i8::MAX]);
        round_trip(name, [0, 1, 2, 3, 4, u8::MAX]);
        round_trip(name, [i16::MIN, -1, 0, 1, 2, i16::MAX]);
        round_trip(name, [0, 1, 2, 3, 4, u16::MAX]);
        round_trip(name, [i32::MIN, -1, 0, 1, 2, i32::MAX]);
        round_trip(name, [0, 1, 2, 3, 4, u32::MAX]);
        round_trip(name, [i64::MIN, -1, 0, 1, 2, i64::MAX]);
        round_trip(name, [0, 1, 2, 3, 4, u64::MAX]);
        round_trip(name, [f32::MIN, -0.0, f32::MIN_POSITIVE, 1.0, f32::INFINITY, f32::MAX]);
        round_trip(name, [f64::MIN, -0.0, f64::MIN_POSITIVE, 1.0, f64::INFINITY, f64::MAX]);
    }
}

#[test]
fn booleans_and_halves_are_read_as_floats_and_copied_as_bytes() {
    let (_folder, path) = scratch();
    forge_shape(&path, "|b1", "(3,)", &[1, 0, 1]);
    assert_eq!(Reader::open(&path).unwrap().read_rows_as_float::<f32>(9).unwrap(), [1.0, 0.0, 1.0]);
    assert!(matches!(Reader::open(&path).unwrap().read_rows::<u8>(9), Err(Error::Dtype { .. })));
    // 0x3c00 is 1, 0xc000 is -2.
    forge_shape(&path, ">f2", "(2,)", &[0x3c, 0x00, 0xc0, 0x00]);
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.read_rows_as_float::<f64>(9).unwrap(), [1.0, -2.0]);
    reader.seek(0);
    assert_eq!(reader.read_bytes(9).unwrap(), [0x00, 0x3c, 0x00, 0xc0]);
}

#[test]
fn another_byte_order_is_read_right() {
    let (_folder, path) = scratch();
    forge_shape(&path, ">i4", "(2,)", &[0, 0, 1, 2, 255, 255, 255, 254]);
    assert_eq!(Reader::open(&path).unwrap().read_rows::<i32>(2).unwrap(), [258, -2]);
    assert_eq!(read::<i32>(&path).unwrap().into_raw_vec_and_offset().0, [258, -2]);
}

#[test]
fn fortran_order_is_read_as_c_order() {
    let (_folder, path) = scratch();
    let values: Vec<i32> = (0..24).collect();
    let mut fortran = Array3::<i32>::zeros((4, 3, 2).f());
    fortran.iter_mut().zip(&values).for_each(|(element, &value)| *element = value);
    fortran.write_npy(File::create(&path).unwrap()).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    assert!(reader.header().fortran_order);
    assert_eq!(reader.read_rows::<i32>(3).unwrap(), values[..18]);
    assert_eq!(reader.read_rows::<i32>(3).unwrap(), values[18..]);
    assert_eq!(read::<i32>(&path).unwrap().as_slice().unwrap(), values);
}

#[test]
fn labels_of_any_integer_type_are_whole_numbers() {
    let (_folder, path) = scratch();
    write(&path, &[2], &[3u8, 7]).unwrap();
    assert_eq!(Reader::open(&path).unwrap().read_rows_as_integer(2).unwrap(), [3, 7]);
    write(&path, &[1], &[1.0f32]).unwrap();
    assert!(matches!(Reader::open(&path).unwrap().read_rows_as_integer(2), Err(Error::Dtype { .. })));
    write(&path, &[2], &[0, u64::MAX]).unwrap();
    assert!(matches!(Reader::open(&path).unwrap().read_rows_as_integer(2), Err(Error::Value { row: 1, .. })));
}

#[test]
fn hostile_files_are_one_line_that_names_them() {
    let (_folder, path) = scratch();
    let refused = |shape: &str, body: &[u8]| {
        forge_shape(&path, "<f4", shape, body);
        let error = Reader::open(&path).unwrap_err().to_string();
        assert!(error.contains("array.npy") && !error.contains('\n'), "{error}");
        assert_eq!(read::<f32>(&path).unwrap_err().to_string(), error);
        error
    };
    assert!(refused("(1000000000000,)", &[0; 16]).contains("needs 4000000000000 bytes"));
    assert!(refused("(4294967296, 4294967296)", &[0; 16]).contains("fits in 64 bits"));
    assert!(refused("(9223372036854775807,)", &[0; 16]).contains("fits in 64 bits"));
    assert!(refused("(-4,)", &[0; 16]).contains("-4"));
    assert!(refused("(5,)", &[0; 16]).contains("truncated"));
    assert!(refused("(3,)", &[0; 16]).contains("follows"));
    fs::write(&path, b"").unwrap();
    assert!(Reader::open(&path).is_err());
    let missing = Reader::open(Path::new("/nonexistent.npy")).unwrap_err();
    assert!(!missing.is_output() && missing.to_string().contains("/nonexistent.npy"));
    assert!(Reader::open(path.parent().unwrap()).is_err());
}

#[test]
fn a_compressed_file_is_held_against_its_header_too() {
    let (folder, path) = scratch();
    let compressed = folder.path().join("array.npy.zst");
    for (shape, body) in [("(1000000000000,)", 16), ("(5,)", 16), ("(3,)", 16), ("(4,)", 16)] {
        forge_shape(&path, "<f4", shape, &vec![0; body]);
        fs::write(&compressed, zstd::encode_all(&fs::read(&path).unwrap()[..], 3).unwrap()).unwrap();
        assert_eq!(Reader::open(&compressed).is_ok(), shape == "(4,)");
    }
    let whole = fs::read(&compressed).unwrap();
    fs::write(&compressed, &whole[..whole.len() / 2]).unwrap();
    assert!(Reader::open(&compressed).is_err());
    fs::write(&compressed, b"not zstd at all").unwrap();
    assert!(Reader::open(&compressed).is_err());
}

#[test]
fn arrays_without_rows_elements_or_axes_are_read() {
    let (_folder, path) = scratch();
    for shape in [&[0, 3][..], &[3, 0], &[0]] {
        write::<f32>(&path, shape, &[]).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.shape(), shape);
        assert!(reader.read_rows::<f32>(10).unwrap().is_empty());
        assert_eq!(read::<f32>(&path).unwrap().shape(), shape);
    }
    forge_shape(&path, "<f8", "()", &2.5f64.to_le_bytes());
    assert_eq!(Reader::open(&path).unwrap().read_rows::<f64>(10).unwrap(), [2.5]);
}

#[test]
fn rows_that_are_not_the_arrays_are_refused() {
    let (_folder, path) = scratch();
    let mut writer = Writer::create(&path, Dtype::F32, &[2]).unwrap();
    assert!(matches!(writer.write_rows(&[1.0f32]), Err(Error::Shape { .. })));
    assert!(matches!(writer.write_rows(&[1.0f64, 2.0]), Err(Error::Dtype { .. })));
    assert!(write(&path, &[2, 2], &[1.0f32]).is_err());
    assert!(write(&path, &[], &[1.0f32]).is_err());
    drop(writer);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn requirements_name_the_file_and_what_was_found() {
    let (_folder, path) = scratch();
    write(&path, &[2, 3], &[0u8; 6]).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert!(reader.require_rank(2, "features (N, F)").is_ok());
    let error = reader.require_rank(4, "images (N, C, H, W)").unwrap_err().to_string();
    assert!(error.contains("images (N, C, H, W)") && error.contains("[2, 3]"), "{error}");
    assert!(reader.require_row_shape(&[3], "features").is_ok());
    let error = reader.require_row_shape(&[4], "features").unwrap_err().to_string();
    assert!(error.contains("features of shape (N, 4)"), "{error}");
    assert!(reader.require_dtype(&[Dtype::U8, Dtype::F32]).is_ok());
    let error = reader.require_dtype(&[Dtype::F32, Dtype::F64]).unwrap_err().to_string();
    assert!(error.contains("expected f32 or f64, found u8"), "{error}");
}

#[test]
fn a_value_that_is_not_finite_is_named_with_its_place() {
    let error = require_finite(Path::new("x.npy"), &[0.0f32, 1.0, f32::NAN], 10, 2).unwrap_err().to_string();
    assert!(error.contains("x.npy") && error.contains("NaN in row 11, element 0"), "{error}");
    assert!(require_finite(Path::new("x.npy"), &[0.0f64, 1.0], 0, 1).is_ok());
}

#[test]
fn ndarray_npy_reads_what_is_written() {
    let (_folder, path) = scratch();
    let array = Array3::from_shape_fn((2, 3, 4), |(n, c, h)| (n * 12 + c * 4 + h) as f64);
    write_array(&path, &array).unwrap();
    assert_eq!(Array3::<f64>::read_npy(File::open(&path).unwrap()).unwrap(), array);
    write_array(&path, &array.t()).unwrap();
    assert_eq!(Array3::<f64>::read_npy(File::open(&path).unwrap()).unwrap(), array.t());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_array_returns_in_any_portions(
        rows in 0usize..9,
        row_shape in prop::collection::vec(1usize..4, 0..4),
        portion in 1usize..5,
        fortran in any::<bool>(),
    ) {
        let (_folder, path) = scratch();
        let shape = [&[rows][..], &row_shape].concat();
        let mut array = if fortran { ArrayD::<i64>::zeros(shape.clone().f()) } else { ArrayD::zeros(shape.clone()) };
        array.iter_mut().enumerate().for_each(|(index, element)| *element = index as i64);
        array.write_npy(File::create(&path).unwrap()).unwrap();
        let expected: Vec<i64> = (0..array.len() as i64).collect();
        let mut reader = Reader::open(&path).unwrap();
        let mut portions = Vec::new();
        for _ in 0..rows.div_ceil(portion) {
            portions.extend(reader.read_rows::<i64>(portion).unwrap());
        }
        prop_assert_eq!(&portions, &expected);
        prop_assert_eq!(&read::<i64>(&path).unwrap().into_raw_vec_and_offset().0, &expected);

        let row_len = row_shape.iter().product::<usize>();
        let mut writer = Writer::create(&path, Dtype::I64, &row_shape).unwrap();
        for rows in expected.chunks(portion * row_len) {
            writer.write_rows(rows).unwrap();
        }
        prop_assert_eq!(writer.finish().unwrap().shape, shape);
        prop_assert_eq!(read::<i64>(&path).unwrap().into_raw_vec_and_offset().0, expected);
    }

    #[test]
    fn no_bytes_make_opening_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), body in 0usize..64, shape in ".{0,20}") {
        let (_folder, path) = scratch();
        fs::write(&path, &bytes).unwrap();
        let _ = Reader::open(&path);
        forge_shape(&path, "<f4", &format!("({shape},)"), &vec![0; body]);
        let _ = Reader::open(&path).map(|mut reader| reader.read_rows::<f32>(3));
        let compressed = path.with_extension("npy.zst");
        fs::write(&compressed, &bytes).unwrap();
        let _ = Reader::open(&compressed);
    }
}
