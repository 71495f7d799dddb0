//! Windows that slide over an image: a kernel, its stride, the padding of each side, the dilation.
//!
//! Output side: floor((size + padding - dilation (kernel - 1) - 1) / stride) + 1, PyTorch's rule for convolution and
//! pooling; in ceil mode the quotient is rounded up, and a last window that would start in the far padding is dropped.

/// Rows and columns added around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same padding on all four sides.
    pub fn same(size: usize) -> Self {
        Self { top: size, bottom: size, left: size, right: size }
    }
}

/// A window and how it slides; pairs are (vertical, horizontal).
///
/// ```
/// use obverse::ops::window::Window;
/// let window = Window::square(3, 2, 0);
/// assert_eq!(window.output(8, 9), Some((3, 4)));
/// assert_eq!(window.output_ceil(8, 9), Some((4, 4)));
/// assert_eq!(window.output(2, 9), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width in taps.
    pub kernel: [usize; 2],
    /// Pixels from one window to the next.
    pub stride: [usize; 2],
    /// Padding around the input.
    pub padding: Padding,
    /// Pixels from one tap to the next; 1 is a dense window.
    pub dilation: [usize; 2],
}

impl Window {
    /// A dense square window with the same stride both ways and the same padding on all sides.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: [kernel, kernel], stride: [stride, stride], padding: Padding::same(padding), dilation: [1, 1] }
    }

    /// The one window that covers a whole image.
    pub fn whole(height: usize, width: usize) -> Self {
        Self { kernel: [height, width], stride: [1, 1], padding: Padding::default(), dilation: [1, 1] }
    }

    /// Height and width of the output, or `None` where no window fits or a kernel, stride or dilation is zero.
    pub fn output(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let [rows, columns] = self.axes(height, width);
        Some((rows.windows()?, columns.windows()?))
    }

    /// As [`output`](Self::output), in ceil mode.
    pub fn output_ceil(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let [rows, columns] = self.axes(height, width);
        Some((rows.windows_ceil()?, columns.windows_ceil()?))
    }

    /// The window along height and along width.
    pub(crate) fn axes(&self, height: usize, width: usize) -> [Axis; 2] {
        let Padding { top, bottom, left, right } = self.padding;
        let axis = |i: usize, size, before, after| Axis {
            size,
            before,
            after,
            kernel: self.kernel[i],
            stride: self.stride[i],
            dilation: self.dilation[i],
        };
        [axis(0, height, top, bottom), axis(1, width, left, right)]
    }
}

/// One direction of a window over an image.
pub(crate) struct Axis {
    size: usize,
    before: usize,
    after: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
}

impl Axis {
    /// The coordinates in the image, rising, under the taps of the window at `position`.
    pub(crate) fn inside(&self, position: usize) -> impl Iterator<Item = usize> + Clone {
        let (start, before, size) = (position * self.stride, self.before, self.size);
        (0..self.kernel)
            .map(move |tap| start + tap * self.dilation)
            .skip_while(move |&at| at < before)
            .map(move |at| at - before)
            .take_while(move |&at| at < size)
    }

    /// Whether each window that starts in the padding before the image has a tap within it. Steps and taps are not zero.
    pub(crate) fn reaches_in(&self) -> bool {
        (0..self.before.div_ceil(self.stride)).all(|position| {
            let outside = self.before - position * self.stride;
            let tap = outside.div_ceil(self.dilation);
            tap < self.kernel && tap * self.dilation - outside < self.size
        })
    }

    /// The taps of the window at `position` over the image and its padding; in ceil mode a window may reach beyond both.
    pub(crate) fn padded(&self, position: usize) -> usize {
        let end = self.before + self.size + self.after;
        (0..self.kernel).take_while(|tap| position * self.stride + tap * self.dilation < end).count()
    }

    /// Steps' worth of pixels left after the first window, or `None` where not even one fits. A graph from a file may
    /// hold any number, so the sums are checked.
    fn slack(&self) -> Option<usize> {
        if self.stride == 0 || self.dilation == 0 {
            return None;
        }
        let reach = self.kernel.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)?;
        self.size.checked_add(self.before)?.checked_add(self.after)?.checked_sub(reach)
    }

    fn windows(&self) -> Option<usize> {
        Some(self.slack()? / self.stride + 1)
    }

    fn windows_ceil(&self) -> Option<usize> {
        let windows = self.slack()?.div_ceil(self.stride) + 1;
        let last_start = (windows - 1).checked_mul(self.stride)?;
        Some(if last_start >= self.size + self.before { windows - 1 } else { windows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_those_of_pytorch() {
        assert_eq!(Window::square(7, 2, 3).output(11, 9), Some((6, 5)));
        let dilated = Window { dilation: [2, 2], ..Window::square(3, 1, 2) };
        assert_eq!(dilated.output(11, 9), Some((11, 9)));
        let uneven = Padding { top: 2, left: 1, ..Padding::default() };
        let causal = Window { kernel: [3, 2], padding: uneven, ..Window::square(3, 1, 0) };
        assert_eq!(causal.output(7, 6), Some((7, 6)));
        assert_eq!(Window::whole(5, 6).output(5, 6), Some((1, 1)));
    }

    #[test]
    fn a_window_that_would_start_in_the_far_padding_is_dropped() {
        // Starts 0, 2, 4: the third is at the right padding of an image of 3 with 1 on the left.
        assert_eq!(Window::square(2, 2, 1).output_ceil(3, 3), Some((2, 2)));
        assert_eq!(Window::square(2, 2, 1).output_ceil(4, 4), Some((3, 3)));
        assert_eq!(Window::square(1, 3, 0).output_ceil(3, 3), Some((1, 1)));
    }

    #[test]
    fn windows_that_fit_nowhere_have_no_output() {
        assert_eq!(Window::square(4, 1, 0).output(3, 9), None);
        assert_eq!(Window::square(0, 1, 0).output(3, 3), None);
        assert_eq!(Window::square(1, 0, 0).output(3, 3), None);
        assert_eq!(Window { dilation: [0, 1], ..Window::square(1, 1, 0) }.output(3, 3), None);
        assert_eq!(Window::square(usize::MAX, 1, usize::MAX).output(3, 3), None);
    }
}
