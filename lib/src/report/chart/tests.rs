use super::*;
use crate::report::scale::logarithmic_places;
use crate::report::{Scale, Series};

fn lines(points: &[[f64; 2]]) -> Chart {
    Chart { series: vec![Series::new("", points.to_vec(), 0)], ..Chart::default() }
}

/// The numbers of each attribute of this name.
fn numbers(svg: &str, name: &str) -> Vec<f64> {
    svg.split(&format!(" {name}=\"")).skip(1).map(|text| text.split('"').next().unwrap().parse().unwrap()).collect()
}

/// The points of the polylines of the first series' colour.
fn drawn(chart: Chart) -> Vec<Vec<[f64; 2]>> {
    let svg = chart.figure().unwrap().svg().unwrap();
    let lines = svg.split("<polyline ").skip(1).filter(|line| line.split("/>").next().unwrap().contains("#1F77B4"));
    let places = lines.map(|line| line.split("points=\"").nth(1).unwrap().split('"').next().unwrap().to_owned());
    let pair = |text: &str| text.split_once(',').map(|(x, y)| [x.parse().unwrap(), y.parse().unwrap()]).unwrap();
    places.map(|places| places.split_whitespace().map(pair).collect()).collect()
}

#[test]
fn dots_stand_where_their_numbers_say() {
    let points = [[0.0, 0.0], [10.0, 0.0], [5.0, 4.0]];
    let chart = Chart { mark: Mark::Dot, ranges: [Some([0.0, 10.0]), Some([0.0, 4.0])], ..lines(&points) };
    let svg = chart.figure().unwrap().svg().unwrap();
    let (x, y) = (numbers(&svg, "cx"), numbers(&svg, "cy"));
    assert_eq!(x.len(), 3, "{svg}");
    assert!((x[2] - (x[0] + x[1]) / 2.0).abs() <= 1.0 && x[1] - x[0] > 400.0, "{x:?}");
    assert!(y[0] == y[1] && y[0] - y[2] > 300.0, "{y:?}");
}

#[test]
fn a_line_is_cut_at_the_frame() {
    let chart = Chart {
        ranges: [None, Some([0.0, 1.0])],
        ..lines(&[[0.0, 0.5], [1.0, 0.5], [2.0, 1e300], [3.0, -1e300], [4.0, 0.5]])
    };
    let lines = drawn(chart);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.iter().flatten().all(|[_, y]| (0.0..=460.0).contains(y)), "{lines:?}");
}

#[test]
fn a_power_is_a_straight_line_on_logarithmic_axes() {
    let points: Vec<[f64; 2]> = [1.0f64, 10.0, 100.0].map(|x| [x, 3.0 * x.sqrt()]).to_vec();
    let series = Series { halves: vec![0.5; 3], ..Series::new("", points, 0) };
    let chart = Chart { series: vec![series], scales: [Scale::Logarithmic; 2], ..Chart::default() };
    let lines = drawn(chart);
    assert_eq!(lines.len(), 1 + 3, "a line for each interval");
    let slope = |a: [f64; 2], b: [f64; 2]| (b[1] - a[1]) / (b[0] - a[0]);
    let line = &lines[0];
    assert!((slope(line[0], line[1]) / slope(line[1], line[2]) - 1.0).abs() < 0.02, "{line:?}");
}

#[test]
fn logarithmic_axes_have_numbers_however_short_or_long() {
    assert_eq!(logarithmic_places([0.03, 0.35]), [0.05, 0.1, 0.2]);
    assert_eq!(logarithmic_places([2.1, 5.9]), [3.0, 4.0, 5.0]);
    assert_eq!(logarithmic_places([2.1, 2.9]), [2.2, 2.4, 2.6, 2.8]);
    assert_eq!(logarithmic_places([0.5, 2000.0]), [1.0, 10.0, 100.0, 1000.0]);
    assert!(logarithmic_places([1e-300, 1e300]).len() <= 10);
}

#[test]
fn constant_and_single_values_are_drawn() {
    for points in [&[[0.0, 3.0]; 1][..], &[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], &[[1e-300, 1e300]]] {
        for mark in [Mark::Line, Mark::Dot] {
            let chart = Chart { mark, ..lines(points) };
            let picture = chart.figure().unwrap().picture().unwrap();
            assert!(picture.pixels().any(|pixel| pixel.0[2] > pixel.0[0] + 60), "{points:?} {mark:?}");
        }
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    for bad in [f64::NAN, f64::INFINITY, -f64::NAN] {
        let points = [[0.0, 0.0], [1.0, bad], [2.0, 1.0]];
        assert!(matches!(lines(&points).figure(), Err(Error::Range { axis: "y", .. })));
        assert!(Chart { ranges: [None, Some([0.0, 1.0])], ..lines(&points) }.figure().is_err());
    }
    assert!(matches!(lines(&[]).figure(), Err(Error::NoPoints)));
    for asked in [[1.0, 1.0], [2.0, 1.0], [0.0, f64::INFINITY], [f64::NAN, 1.0], [1.0, 1.0 + 1e-12], [0.0, 1e-320]] {
        let chart = Chart { ranges: [Some(asked), None], ..lines(&[[0.0, 0.0], [1.0, 1.0]]) };
        assert!(matches!(chart.figure(), Err(Error::Range { axis: "x", .. })), "{asked:?}");
    }
    let logarithmic = |points: &[[f64; 2]]| Chart { scales: [Scale::Logarithmic; 2], ..lines(points) };
    assert!(matches!(logarithmic(&[[1.0, -1.0]]).figure(), Err(Error::Logarithm { axis: "y", .. })));
    // An interval below zero is cut at the frame.
    let mut chart = logarithmic(&[[1.0, 0.5], [2.0, 0.1]]);
    chart.series[0].halves = vec![0.7, 0.0];
    assert!(chart.figure().unwrap().svg().is_ok());
    for size in [(0, 0), (0, 480), (60, 480), (640, 60)] {
        let chart = Chart { size, ..lines(&[[0.0, 1.0]]) };
        assert!(matches!(chart.figure(), Err(Error::Crowded { .. })), "{size:?}");
    }
    for size in [(1 << 20, 1 << 20), (usize::MAX, usize::MAX)] {
        assert!(matches!(Chart { size, ..lines(&[[0.0, 1.0]]) }.figure(), Err(Error::Large { .. })), "{size:?}");
    }
}

#[test]
fn every_series_has_its_colour_in_the_legend_and_a_larger_picture_larger_letters() {
    let series: Vec<Series> =
        (0..12).map(|number| Series::new(number.to_string(), vec![[0.0, number as f64]], number)).collect();
    let svg = |size| {
        let chart = Chart { series: series.clone(), mark: Mark::Dot, size, title: "a < b".into(), ..Chart::default() };
        chart.figure().unwrap().svg().unwrap()
    };
    let (small, large) = (svg((640, 480)), svg((1280, 960)));
    assert_eq!(numbers(&small, "cx").len(), 24);
    assert!(small.contains("a &lt; b"));
    let largest = |svg: &str| numbers(svg, "font-size").into_iter().fold(0.0, f64::max);
    assert!((largest(&large) / largest(&small) - 2.0).abs() < 0.1, "{}", largest(&large));
}
