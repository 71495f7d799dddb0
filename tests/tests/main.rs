//! Whole tools, recipes and documents, in one binary: it links once, and its tests share the machine. One file's tests run by their path,
//! such as `cargo test -p obverse-tests --test tests tool_npy_cat`.
//!
//! What a test takes that a machine may lack is a word of `build.rs`: without it the test is ignored, with the reason, and counted so.

mod alignment;
mod architecture;
mod bombs;
mod contributing;
mod coverage;
mod devices;
mod documents;
mod examples;
mod faults;
mod golden;
mod gpu;
mod guides;
mod image_arrays;
mod machine;
mod manual;
mod modes;
mod ownership;
mod readers;
mod readme;
mod recipes;
mod recipes_datasets;
mod reverse_nets;
mod slurm;
mod tool_dataset;
mod tool_dataset_import;
mod tool_fid_score;
mod tool_fv_optimize;
mod tool_ifv_predict;
mod tool_metric_view;
mod tool_mi_bound;
mod tool_net_export;
mod tool_net_import;
mod tool_npy_cat;
mod tool_npy_view;
mod tool_pixelcnn;
mod tool_report;
mod tool_shadow_measure;
mod tool_table;
mod wrong_inputs;
