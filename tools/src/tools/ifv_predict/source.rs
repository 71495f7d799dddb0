//! Where Jacobians come from: images with their parameters, or a file of Jacobians; and files of vectors and spaces.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use obverse::data::batches::ImageFile;
use obverse::ifv::jacobian::{BLOCK, Linearisation, Response};
use obverse::ifv::subspace::Subspace;
use obverse::net::Network;
use obverse::objective::aggregation::Aggregation;
use obverse::objective::parameterisation::Parameterisation;
use obverse::objective::resolved::Comparison;
use obverse::store::npy::{Reader, Scalar, require_finite};
use obverse::tensor::{Batch, Element, batch, view};

use super::SourceArguments;
use crate::climbing::Chunks;
use crate::comparison::Made;
use crate::parameterisation::ParameterisationArguments;
use crate::{Progress, RowsArguments, Task, check_interrupted};

/// How far parameters may miss their images: f32's rounding through a spectrum.
const MISSED: f64 = 1e-3;

/// What Jacobians are taken of, checked and declared.
pub(super) struct Source<'a> {
    pub(super) arguments: &'a SourceArguments,
    pub(super) comparison: Comparison,
    /// How the images were made, as arguments, and their parameters if there are any.
    pub(super) image: ParameterisationArguments,
    pub(super) parameters: Option<PathBuf>,
}

impl<'a> Source<'a> {
    pub(super) fn new(arguments: &'a SourceArguments) -> anyhow::Result<Self> {
        let made = match (&arguments.jacobians, &arguments.images) {
            (Some(jacobians), _) => Made::of(&main_output(jacobians), "ifv-predict")?,
            (None, Some(images)) => Made::of(images, "fv-optimize")?,
            (None, None) => Made::default(),
        };
        let usual = Comparison { aggregation: Aggregation::USUAL, power: 3 };
        let comparison = arguments.comparison.resolved(made.comparison(usual));
        // Arguments come before the sidecar.
        let said = (arguments.image != ParameterisationArguments::default()).then(|| arguments.image.clone());
        let image = said.or(made.parameterisation).unwrap_or_default();
        let parameters = arguments.parameters.as_deref().map(Path::to_owned).or(made.parameters);
        Ok(Self { arguments, comparison, image, parameters })
    }

    pub(super) fn declare(&self, task: &mut Task) -> anyhow::Result<()> {
        let SourceArguments { jacobians, .. } = self.arguments;
        // Those that the sidecar of the images names.
        let found = self.parameters.iter().filter(|_| self.arguments.parameters.is_none());
        found.into_iter().try_for_each(|path| task.input("images", path))?;
        task.resolved("aggregation", self.comparison.aggregation)?;
        task.resolved("cosine_power", self.comparison.power)?;
        if jacobians.is_none() {
            task.resolved("parameterisation", &self.image)?;
            for path in self.image.files() {
                task.input("images", path)?;
            }
            let from = if self.parameters.is_some() { "parameters" } else { "pixels, clamped to [1e-6, 1 - 1e-6]" };
            task.resolved("parameters_from", from)?;
        }
        Ok(())
    }

    /// The network, the images and the node that the arguments name.
    pub(super) fn named(&self) -> anyhow::Result<(&Path, &Path, &str)> {
        match self.arguments {
            SourceArguments { network: Some(network), images: Some(images), layer: Some(layer), .. } => {
                Ok((network, images, layer))
            }
            _ => bail!("expected a network, images and --layer, or --jacobians"),
        }
    }

    /// How many features: as given, or as many as a row of the files has values.
    pub(super) fn features(&self, rows: &[Option<&Reader>]) -> Option<usize> {
        self.arguments.features.or_else(|| rows.iter().flatten().map(|reader| reader.row_len()).next())
    }
}

/// `a.jacobians.npy` -> `a.npy`.
pub(super) fn main_output(companion: &Path) -> PathBuf {
    let name = companion.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    companion.with_file_name(name.replacen(".jacobians.npy", ".npy", 1))
}

/// The images of a file with their parameters, a row at a time.
pub(super) struct Points {
    pub(super) images: ImageFile,
    pub(super) parameters: Option<Reader>,
}

impl Points {
    pub(super) fn open<E: Element>(
        (images, pixels): (&Path, crate::PixelArguments),
        parameters: Option<&Path>,
        parameterisation: &dyn Parameterisation<E>,
    ) -> anyhow::Result<Self> {
        let images = pixels.open(images)?;
        let (size, found) = (parameterisation.image_size(), images.shape());
        ensure!(
            (found.channels, found.height, found.width) == (size.channels, size.height, size.width),
            "{}: expected images of {size}, as the network and --parameterisation ask, found {}x{}x{}",
            images.reader().path().display(),
            found.channels,
            found.height,
            found.width
        );
        let parameters = parameters.map(Reader::open).transpose()?;
        if let Some(reader) = &parameters {
            reader
                .require_row_shape(&[parameterisation.parameters()], "parameters, as many as the parameterisation's")?;
            ensure!(
                reader.rows() == images.count(),
                "{}: expected {} rows, one per image, found {}",
                reader.path().display(),
                images.count(),
                reader.rows()
            );
        }
        Ok(Self { images, parameters })
    }

    /// The parameters of image number `row`, (1, 1, 1, P).
    pub(super) fn at<E: Element + Scalar>(
        &self,
        row: usize,
        map: &dyn Parameterisation<E>,
    ) -> anyhow::Result<Batch<E>> {
        let size = map.image_size();
        let x = batch(self.images.batch::<E>(&[row])?, (1, size.height, size.width, size.channels));
        let Some(reader) = &self.parameters else {
            let path = self.images.reader().path().display();
            return map.parameters_of(&x).with_context(|| {
                format!(
                    "{path}: expected a parameterisation that can be inverted, or --parameters S.npy beside the images"
                )
            });
        };
        let values = reader.read_row_range_as_float_at::<E>(row, 1)?;
        require_finite(reader.path(), &values, row, values.len())?;
        let length = values.len();
        let s = batch(values, (1, 1, 1, length));
        let made = map.at(&s);
        let missed = view(made.images()).iter().zip(view(&x)).map(|(a, b)| (a.wide() - b.wide()).abs());
        let missed = missed.fold(0.0, f64::max);
        ensure!(
            missed <= MISSED,
            "{}: expected the parameters of {}, found those of other images from row {row} on; give their --parameterisation",
            reader.path().display(),
            self.images.reader().path().display()
        );
        Ok(s)
    }
}

/// Loads a network and folds its batch normalisation, but keeps the node `layer`.
pub(super) fn network<E: Element + Scalar>(folder: &Path, layer: &str) -> anyhow::Result<Network<E>> {
    Ok(Network::<E>::load(folder)?.folded(&[layer])?)
}

/// The linearisations of `rows`, taken from chunks if an earlier run was interrupted. Returns the seconds per Jacobian, if one was
/// computed.
pub(super) fn linearise<E: Element + Scalar>(
    (chunks, array): (&Chunks, &str),
    points: &Points,
    (response, map): (&Response<E>, &dyn Parameterisation<E>),
    rows: &[usize],
    arguments: &RowsArguments,
) -> anyhow::Result<Option<f64>> {
    let mut progress = Progress::new(rows.len() as u64, "images", arguments.common.quiet);
    let (features, started, mut computed) = (response.features(), Instant::now(), 0u32);
    for &row in rows {
        check_interrupted()?;
        if !chunks.is_finished(row)? {
            let context = || format!("{}, image {row}", points.images.reader().path().display());
            let jacobian = response.jacobian(&points.at(row, map)?, arguments.batch.or(BLOCK))?;
            let at = jacobian.reduced().with_context(context)?;
            chunks.finish(row, 1, &[(array, &[features, features + 1], &at.to_row())])?;
            computed += 1;
        }
        progress.advance(1);
    }
    Ok((computed > 0).then(|| started.elapsed().as_secs_f64() / f64::from(computed)))
}

/// Responses and reduced Jacobians of a file, (N, n, n + 1).
pub(super) struct Linearisations {
    pub(super) reader: Reader,
    pub(super) features: usize,
}

impl Linearisations {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let reader = Reader::open(path)?;
        match *reader.row_shape() {
            [features, columns] if columns == features + 1 && features > 1 => Ok(Self { reader, features }),
            _ => bail!(
                "{}: expected reduced Jacobians (N, n, n + 1), found shape {:?}; give the .jacobians.npy that ifv-predict wrote",
                path.display(),
                reader.shape()
            ),
        }
    }

    pub(super) fn at(&self, row: usize) -> anyhow::Result<Linearisation> {
        let values: Vec<f64> = self.reader.read_row_range_as_float_at(row, 1)?;
        require_finite(self.reader.path(), &values, row, values.len())?;
        let context = || format!("{}, row {row}", self.reader.path().display());
        Linearisation::from_row(&values, self.features).with_context(context)
    }
}

/// Vectors of a file, one row per image, of any norm but zero.
pub(super) fn vectors(path: &Path, rows: usize, features: usize) -> anyhow::Result<Vec<f64>> {
    let reader = Reader::open(path)?;
    reader.require_row_shape(&[features], "objectives, one value per feature")?;
    ensure!(reader.rows() == rows, "{}: expected {rows} rows, one per image, found {}", path.display(), reader.rows());
    let values: Vec<f64> = reader.read_row_range_as_float_at(0, rows)?;
    require_finite(path, &values, 0, features)?;
    if let Some(row) = values.chunks_exact(features).position(|row| row.iter().all(|&value| value == 0.0)) {
        bail!("{}: expected objectives other than zero, found zero in row {row}", path.display());
    }
    Ok(values)
}

/// The critical space of a file, or all of R^n if there is none.
pub(super) fn space(path: Option<&Path>, features: usize) -> anyhow::Result<Subspace> {
    let Some(path) = path else { return Ok(Subspace::whole(features)) };
    let reader = Reader::open(path)?;
    let &[rows, columns] = reader.shape() else {
        bail!("{}: expected a basis (n, m), found shape {:?}", path.display(), reader.shape())
    };
    ensure!(
        rows == features && (1..=features).contains(&columns),
        "{}: expected a basis of {features} rows and at most as many columns, found {rows} x {columns}",
        path.display()
    );
    let values: Vec<f64> = reader.read_row_range_as_float_at(0, rows)?;
    Subspace::from_rows(&values, rows).with_context(|| path.display().to_string())
}
