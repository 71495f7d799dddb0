//! `shadow-measure theory`: errors of recovering sparse hidden variables, compared with the bounds.

use std::path::Path;

use obverse::report::{Chart, Scale, Series};
use obverse::reversible::model::Sizes;
use obverse::reversible::theory::{Curve, Effort, Variable, curves, several_layers};
use obverse::statistics::{Interval, Measure};
use obverse::store::atomic::{self, AtomicFolder};
use obverse::store::npy::write;
use serde_json::{Value, json};

use super::TheoryArguments;
use crate::picture::Format;
use crate::{Metrics, Progress, Task, check_interrupted};

/// Two stacked layers: the first one's x is sparse enough to be recovered from the second's.
const LAYERS: [Sizes; 2] = [Sizes { n: 100, m: 1000, k: 4, kept: 0.1 }, Sizes { n: 1000, m: 6000, k: 50, kept: 0.4 }];

pub(super) fn run(arguments: &TheoryArguments) -> anyhow::Result<()> {
    let TheoryArguments { n, m, k, rho, .. } = *arguments;
    let sizes = Sizes { n, m, k, kept: rho }.check()?;
    let (seed, repetitions, count) = (arguments.seed.seed, arguments.repetitions, arguments.count);
    let effort = Effort { seed, repetitions, count };
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let folder = AtomicFolder::create(&arguments.output)?;
    let mut progress = Progress::new(Variable::ALL.len() as u64, "variables", arguments.common.quiet);
    let mut all = Vec::new();
    for variable in Variable::ALL {
        check_interrupted()?;
        let curves = curves(variable, values(arguments, variable), sizes, effort)?;
        save(&curves, folder.path())?;
        all.extend(curves);
        progress.advance(1);
    }
    drop(progress);
    let layers = layers(effort)?;
    atomic::write(&folder.path().join("exponents.txt"), table(&all, &layers).as_bytes())?;
    let mut metrics = Metrics::from_iter([("exponents".to_string(), Value::Array(all.iter().map(exponent).collect()))]);
    for (name, error) in ["error_of_one_layer", "error_of_two_layers"].into_iter().zip(layers) {
        Measure::from(error).insert(name, &mut metrics);
    }
    task.finish_folder(folder, metrics)
}

fn values(arguments: &TheoryArguments, variable: Variable) -> &[f64] {
    match variable {
        Variable::N => &arguments.vary_n,
        Variable::M => &arguments.vary_m,
        Variable::K => &arguments.vary_k,
        Variable::Rho => &arguments.vary_rho,
    }
}

/// Writes the curves of a variable as numbers and as pictures.
fn save(curves: &[Curve], folder: &Path) -> anyhow::Result<()> {
    let (variable, count) = (curves[0].variable.name(), curves[0].values.len());
    let row = |place: usize| {
        let of_curve = |curve: &Curve| [curve.errors[place].mean, curve.errors[place].half, curve.bounds[place]];
        std::iter::once(curves[0].values[place]).chain(curves.iter().flat_map(of_curve)).collect::<Vec<f64>>()
    };
    let rows: Vec<f64> = (0..count).flat_map(row).collect();
    write(&folder.join(format!("{variable}.npy")), &[count, 1 + 3 * curves.len()], &rows)?;
    let drawn = curves.iter().enumerate().flat_map(|(colour, curve)| {
        let name = curve.quantity.name();
        let points = |errors: &dyn Fn(usize) -> f64| {
            curve.values.iter().enumerate().map(|(place, &value)| [value, errors(place)]).collect()
        };
        let halves = curve.errors.iter().map(|error| error.half).collect();
        [
            Series { halves, ..Series::new(name, points(&|place| curve.errors[place].mean), colour) },
            Series::new(format!("{name}: bound"), points(&|place| curve.bounds[place]), colour),
        ]
    });
    let chart = Chart {
        series: drawn.collect(),
        scales: [Scale::Logarithmic; 2],
        names: [variable.to_owned(), "error".to_owned()],
        title: format!("error of recovery over {variable}"),
        ..Chart::default()
    };
    let figure = chart.figure()?;
    Format::Png.stage(&figure, &folder.join(format!("{variable}.png")))?.place()?;
    Format::Svg.stage(&figure, &folder.join(format!("{variable}.svg")))?.place()?;
    Ok(())
}

/// The errors of one layer and of two.
fn layers(effort: Effort) -> anyhow::Result<[Interval; 2]> {
    let rows = (0..effort.repetitions).map(|repetition| several_layers(&LAYERS, effort, repetition));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let of = |which: usize| Interval::of(&rows.iter().map(|row| row[which]).collect::<Vec<_>>());
    Ok([of(0)?, of(1)?])
}

fn exponent(curve: &Curve) -> Value {
    let Curve { variable, quantity, exponent, stated, .. } = curve;
    json!({
        "variable": variable, "quantity": quantity, "stated": stated,
        "exponent": exponent.mean, "exponent_interval": exponent.ends(),
    })
}

/// One line per variable and quantity, then the errors of one layer and of two.
fn table(curves: &[Curve], [one, two]: &[Interval; 2]) -> String {
    let mut text = format!(
        "{:<4} {:<14} {:>9} {:>7} {:>7} {:>12}\n",
        "over", "error of", "exponent", "+-", "stated", "error/bound"
    );
    for curve in curves {
        let last = curve.values.len() - 1;
        text += &format!(
            "{:<4} {:<14} {:>9.3} {:>7.3} {:>7.1} {:>12.2}\n",
            curve.variable.name(),
            curve.quantity.name(),
            curve.exponent.mean,
            curve.exponent.half,
            curve.stated,
            curve.errors[last].mean / curve.bounds[last]
        );
    }
    text + &format!(
        "one layer {:.3} +- {:.3}, the same h through two layers {:.3} +- {:.3}\n",
        one.mean, one.half, two.mean, two.half
    )
}
