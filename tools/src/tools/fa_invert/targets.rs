//! The classes that recoveries aim at.

use anyhow::Context;
use obverse::alignment::latents;
use obverse::alignment::training::one_hot;
use obverse::tensor::{Batch, Element, batch, view};

use super::Arguments;
use super::data::Data;
use super::latents::way;
use crate::Classes;

/// The classes that recoveries aim at, row by row.
pub(super) enum ClassTargets<'a> {
    Chosen {
        classes: &'a Classes,
        count: usize,
    },
    /// Shares of the classes, interpolated between rows.
    Way(Vec<Vec<f64>>),
}

impl<'a> ClassTargets<'a> {
    /// None when no classes were given.
    pub(super) fn new(arguments: &Arguments, data: &'a Data, count: Option<usize>) -> anyhow::Result<Option<Self>> {
        let Some(classes) = &data.classes else { return Ok(None) };
        let count = count.context("--class and --labels: expected a network with a class head, found none")?;
        if !matches!(classes, Classes::File(_)) || arguments.interpolate.is_empty() {
            return Ok(Some(Self::Chosen { classes, count }));
        }
        let ends = classes.of(&arguments.interpolate, count)?;
        let ends: Vec<Vec<f64>> = ends.iter().map(|&end| view(&one_hot(&[end], count, 1.0)).to_vec()).collect();
        Ok(Some(Self::Way(way(arguments, latents::Path::Linear, &ends))))
    }

    /// One-hot classes, or shares of them, (N, 1, 1, K), `strength` high.
    pub(super) fn of<E: Element>(&self, rows: &[usize], strength: f64) -> anyhow::Result<Batch<E>> {
        match self {
            Self::Chosen { classes, count } => Ok(one_hot(&classes.of(rows, *count)?, *count, strength)),
            Self::Way(shares) => {
                let values: Vec<E> =
                    rows.iter().flat_map(|&row| &shares[row]).map(|share| E::of(share * strength)).collect();
                let count = values.len() / rows.len();
                Ok(batch(values, (rows.len(), 1, 1, count)))
            }
        }
    }
}
