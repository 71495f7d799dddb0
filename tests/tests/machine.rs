//! What this machine has of what some tests take (`build.rs`): where CI says that a kind must run, it is an error that it does not.

/// Each kind, and whether it is here.
const KINDS: [(&str, bool); 8] = [
    ("mirror", cfg!(mirror)),
    ("just", cfg!(just)),
    ("man", cfg!(man)),
    ("bash", cfg!(bash)),
    ("chromedriver", cfg!(chromedriver)),
    ("slurm", cfg!(slurm)),
    ("strace", cfg!(strace)),
    ("dev_full", cfg!(dev_full)),
];

#[test]
fn the_kinds_that_must_run_here_do() {
    let required = std::env::var("OBVERSE_REQUIRED").unwrap_or_default();
    for kind in required.split_whitespace() {
        let found = KINDS.iter().find(|(name, _)| *name == kind);
        let (_, is_here) = found.unwrap_or_else(|| panic!("OBVERSE_REQUIRED: no kind {kind}, only {KINDS:?}"));
        assert!(is_here, "OBVERSE_REQUIRED names {kind}: its tests are ignored on this machine");
    }
}
