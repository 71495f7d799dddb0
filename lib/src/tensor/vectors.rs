//! The vectors of a processor, for kernels that a compiler does not turn into vectors by itself.

use pulp::Simd;

/// Numbers that a processor's vectors hold several of. Sums and products are those of the numbers, lane by lane.
pub trait Vectors: Copy {
    /// As many numbers as the processor takes at a time.
    type Vector<S: Simd>: Copy;

    /// The numbers of a vector.
    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }

    /// Zeros.
    fn vector_of_zeros<S: Simd>(simd: S) -> Self::Vector<S>;

    /// sum + a b, rounded twice, so that the result is the same with and without instructions that fuse the two.
    fn add_product<S: Simd>(simd: S, sum: Self::Vector<S>, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// a + b.
    fn add_vectors<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// The vector at a place in memory.
    ///
    /// # Safety
    /// As many numbers as a vector holds lie there.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn load<S: Simd>(from: *const Self) -> Self::Vector<S> {
        // SAFETY: the caller's promise; a vector is plain numbers, and need not be aligned here.
        unsafe { from.cast::<Self::Vector<S>>().read_unaligned() }
    }

    /// Writes a vector to a place in memory.
    ///
    /// # Safety
    /// As [`Vectors::load`].
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn store<S: Simd>(to: *mut Self, vector: Self::Vector<S>) {
        // SAFETY: as above.
        unsafe { to.cast::<Self::Vector<S>>().write_unaligned(vector) }
    }
}

macro_rules! vectors {
    ($Number:ty, $vectors:ident, $splat:ident, $mul:ident, $add:ident) => {
        impl Vectors for $Number {
            type Vector<S: Simd> = S::$vectors;

            #[inline(always)]
            fn vector_of_zeros<S: Simd>(simd: S) -> S::$vectors {
                simd.$splat(0.0)
            }

            #[inline(always)]
            fn add_product<S: Simd>(simd: S, sum: S::$vectors, a: S::$vectors, b: S::$vectors) -> S::$vectors {
                simd.$add(sum, simd.$mul(a, b))
            }

            #[inline(always)]
            fn add_vectors<S: Simd>(simd: S, a: S::$vectors, b: S::$vectors) -> S::$vectors {
                simd.$add(a, b)
            }
        }
    };
}

vectors!(f32, f32s, splat_f32s, mul_f32s, add_f32s);
vectors!(f64, f64s, splat_f64s, mul_f64s, add_f64s);
