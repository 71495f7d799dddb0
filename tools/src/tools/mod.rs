//! The tools, one module each: a clap struct that is its manual, and a `run` that reads like the manual's summary.
//!
//! They live in a library, so that networks in f32 and f64 are compiled only once for all binaries.

pub mod dataset;
pub mod fa_encode;
pub mod fa_fit;
pub mod fa_invert;
pub mod fid_score;
pub mod fv_optimize;
pub mod ifv_predict;
pub mod metric_view;
pub mod mi_bound;
pub mod nearest;
pub mod net_export;
pub mod net_fit;
pub mod net_import;
pub mod net_tap;
pub mod npy_cat;
pub mod npy_view;
pub mod obverse_again;
pub mod obverse_manual;
pub mod obverse_table;
pub mod obverse_verify;
pub mod pixelcnn_fit;
pub mod pixelcnn_sample;
pub mod report;
pub mod shadow_measure;
