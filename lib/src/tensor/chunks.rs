//! Values filled by several threads, each its own stretch.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::Element;

/// `length` values filled in chunks, in parallel: `fill` gets the thread's scratch, the chunk's number and the chunk.
///
/// Each chunk is zeroed where it is filled, while it is in that core's cache, rather than all at once on one thread.
#[allow(unsafe_code)]
pub(crate) fn filled_in_chunks<E: Element, S>(
    length: usize,
    chunk: usize,
    scratch: impl Fn() -> S + Sync + Send,
    fill: impl Fn(&mut S, usize, &mut [E]) + Sync + Send,
) -> Vec<E> {
    let chunk = chunk.max(1);
    let mut values: Vec<E> = Vec::with_capacity(length);
    let room = Room(values.as_mut_ptr());
    in_parts(length.div_ceil(chunk), &|numbers: Range<usize>| {
        let mut scratch = scratch();
        for number in numbers {
            let start = number * chunk;
            let count = chunk.min(length - start);
            // SAFETY: the chunks lie within the capacity and do not overlap, and each is here once.
            let part = unsafe { std::slice::from_raw_parts_mut(room.at(start), count) };
            part.iter_mut().for_each(|value| {
                value.write(E::zero());
            });
            // SAFETY: every element of `part` has just been written, and MaybeUninit<E> has the layout of E.
            let part = unsafe { &mut *(std::ptr::from_mut(part) as *mut [E]) };
            fill(&mut scratch, number, part);
        }
    });
    // SAFETY: the chunks cover the first `length` elements, and each has been written.
    unsafe { values.set_len(length) };
    values
}

/// Where values are going to be, for several threads.
struct Room<E>(*mut E);

impl<E> Room<E> {
    /// The place of a value, which may not be there yet.
    #[allow(unsafe_code)]
    fn at(&self, place: usize) -> *mut MaybeUninit<E> {
        // SAFETY: callers stay within the capacity that the pointer comes from.
        unsafe { self.0.add(place).cast() }
    }
}

// SAFETY: each thread has places of its own.
#[allow(unsafe_code)]
unsafe impl<E: Send> Sync for Room<E> {}

/// Calls `run` with every number below `count` once, in stretches, in parallel. It is compiled once, for whatever is run.
fn in_parts(count: usize, run: &(dyn Fn(Range<usize>) + Sync)) {
    /// The stretches of each thread: enough to even out what some take longer for.
    const STRETCHES: usize = 8;
    let threads = rayon::current_num_threads();
    let most = if threads == 1 { count } else { count.div_ceil(STRETCHES * threads) };
    halved(0..count, most.max(1), run);
}

fn halved(numbers: Range<usize>, most: usize, run: &(dyn Fn(Range<usize>) + Sync)) {
    if numbers.len() <= most {
        return run(numbers);
    }
    let middle = numbers.start + numbers.len() / 2;
    rayon::join(|| halved(numbers.start..middle, most, run), || halved(middle..numbers.end, most, run));
}
