//! Variables in formulas.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::{Binary, Variable};

impl Add for Variable<'_> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.binary(Binary::Add, other)
    }
}

impl Sub for Variable<'_> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.binary(Binary::Subtract, other)
    }
}

impl Mul for Variable<'_> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.binary(Binary::Multiply, other)
    }
}

impl Div for Variable<'_> {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        self.binary(Binary::Divide, other)
    }
}

impl Mul<f64> for Variable<'_> {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        if factor == 1.0 { self } else { self.affine(factor, 0.0) }
    }
}

impl Add<f64> for Variable<'_> {
    type Output = Self;

    fn add(self, term: f64) -> Self {
        self.affine(1.0, term)
    }
}

impl Neg for Variable<'_> {
    type Output = Self;

    fn neg(self) -> Self {
        self.affine(-1.0, 0.0)
    }
}
