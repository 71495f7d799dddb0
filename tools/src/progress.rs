//! Progress on standard error: a bar on a terminal, a plain line now and then elsewhere, nothing when quiet.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::{escaped, say};

/// Time between plain lines, so that a log stays readable.
const INTERVAL: Duration = Duration::from_secs(10);

/// Progress through a known number of steps, rows or images.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    said: Instant,
}

impl Progress {
    /// Begins `total` steps called `unit` ("images", "updates").
    pub fn new(total: u64, unit: &str, quiet: bool) -> Self {
        let terminal = stderr().is_terminal();
        let target = if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = format!("{{wide_bar}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left {{msg}}");
        // Only the unit varies in the template; if that breaks it, the default style is used.
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style);
        bar.set_prefix(unit.to_owned());
        Self { bar, plain: !terminal && !quiet, said: Instant::now() }
    }

    /// Counts `steps` more as done.
    pub fn advance(&mut self, steps: u64) {
        self.bar.inc(steps);
        self.say_now_and_then();
    }

    /// Jumps to a step, for example when a training resumes.
    pub fn set(&mut self, step: u64) {
        self.bar.set_position(step);
        self.bar.reset_eta();
        self.say_now_and_then();
    }

    /// What to show beside the numbers, such as "loss 0.0312".
    pub fn set_message(&mut self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }

    /// Prints a line that stays, above the bar.
    pub fn note(&self, line: &str) {
        if self.plain {
            say(line);
        } else {
            self.bar.println(escaped(line));
        }
    }

    fn say_now_and_then(&mut self) {
        if self.plain && self.said.elapsed() >= INTERVAL {
            self.said = Instant::now();
            self.note(&self.line());
        }
    }

    /// The progress so far, as a plain line.
    pub fn line(&self) -> String {
        let (done, total, unit) = (self.bar.position(), self.bar.length().unwrap_or(0), self.bar.prefix());
        let (rate, left) = (self.bar.per_sec(), self.bar.eta().as_secs());
        let line =
            format!("{done}/{total} {unit}, {rate:.1}/s, {}:{:02} left {}", left / 60, left % 60, self.bar.message());
        line.trim_end().to_owned()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
