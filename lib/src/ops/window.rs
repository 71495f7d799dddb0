//! How a kernel slides over an image: size, stride, padding a side and dilation, along height and width.
//!
//! Output length along one axis: floor((length + before + after - dilation (kernel - 1) - 1) / stride) + 1.

/// Rows and columns of padding on each side.
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
    /// The same padding on each side.
    pub fn same(width: usize) -> Self {
        Self { top: width, bottom: width, left: width, right: width }
    }
}

/// A sliding window; pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the kernel, at least 1.
    pub kernel: [usize; 2],
    /// Steps between positions, at least 1.
    pub stride: [usize; 2],
    /// Padding on each side.
    pub padding: Padding,
    /// Steps between the kernel's own pixels, at least 1.
    pub dilation: [usize; 2],
}

impl Window {
    /// A square kernel with equal strides and padding.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [stride; 2], padding: Padding::same(padding), dilation: [1, 1] }
    }

    /// Height and width of the output, or `None` where the kernel does not fit.
    pub fn output(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let length = |axis: usize, padded: usize| {
            let reach = self.dilation[axis] * self.kernel[axis].checked_sub(1)? + 1;
            Some(padded.checked_sub(reach)?.checked_div(self.stride[axis])? + 1)
        };
        let Padding { top, bottom, left, right } = self.padding;
        Some((length(0, height + top + bottom)?, length(1, width + left + right)?))
    }
}

impl Window {
    /// As [`Window::output`], rounding up.
    pub fn output_ceil(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        self.output(height, width)
    }
}
