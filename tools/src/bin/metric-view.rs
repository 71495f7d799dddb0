//! `metric-view`: a metric of outputs as a figure, over epochs or other places, with intervals.

obverse_tools::main!(obverse_tools::tools::metric_view);
