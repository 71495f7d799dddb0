//! Code that is compiled once for each type of number, in this crate.
//!
//! Generic code is compiled again in every crate that uses it. What a [`Call`] names is not generic, and so is not.

use super::Element;

/// A function of arguments in any type of number, with what it does in each.
pub trait Call {
    /// What it takes.
    type Arguments<E: Element>;
    /// What it gives.
    type Output<E: Element>;

    /// The function in f32.
    fn single(arguments: Self::Arguments<f32>) -> Self::Output<f32>;

    /// The function in f64.
    fn double(arguments: Self::Arguments<f64>) -> Self::Output<f64>;
}

/// Makes a [`Call`] of a generic function of one argument, a tuple.
macro_rules! call {
    ($(#[$doc:meta])* $Name:ident<$life:lifetime>: $function:path, $E:ident => ($arguments:ty) -> $output:ty) => {
        $(#[$doc])*
        struct $Name<$life>(std::marker::PhantomData<&$life ()>);

        impl<$life> $crate::tensor::Call for $Name<$life> {
            type Arguments<$E: $crate::tensor::Element> = $arguments;
            type Output<$E: $crate::tensor::Element> = $output;

            #[inline(never)]
            fn single(arguments: Self::Arguments<f32>) -> Self::Output<f32> {
                $function(arguments)
            }

            #[inline(never)]
            fn double(arguments: Self::Arguments<f64>) -> Self::Output<f64> {
                $function(arguments)
            }
        }
    };
}

pub(crate) use call;
