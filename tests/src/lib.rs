//! Whole tools and whole pipelines, as a user runs them: the tests are in `tests/`.
