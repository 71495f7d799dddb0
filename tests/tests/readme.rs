//! The console blocks of the README and of the page of tools, run in order in one folder: what stands there is what the tools print.
//!
//! Numbers are compared to one part in a hundred, since another kind of processor may round otherwise.

use obverse_tests::{checkout, shell, steps};

/// Words and numbers of a line, apart.
fn tokens(line: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let numeric = |c: char| c.is_ascii_digit() || c == '.';
    for c in line.chars().filter(|c| !c.is_whitespace()) {
        match tokens.last_mut() {
            Some(token) if token.chars().all(numeric) == numeric(c) => token.push(c),
            _ => tokens.push(c.into()),
        }
    }
    tokens
}

fn agree(printed: &str, written: &str) -> bool {
    let (printed, written) = (tokens(printed), tokens(written));
    printed.len() == written.len()
        && printed.iter().zip(&written).all(|(a, b)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 0.01 * b.abs(),
            _ => a == b,
        })
}

#[test]
fn the_readme_and_the_page_of_tools_say_what_the_tools_print() {
    let folder = tempfile::tempdir().unwrap();
    // The page goes on where the README ends.
    let documents = ["README.md", "docs/tools.md"].map(|name| {
        let document = std::fs::read_to_string(checkout().join(name)).unwrap();
        let steps = steps(&document);
        assert!(steps.len() >= 10, "{name}: its blocks are not where they are looked for");
        steps
    });
    for step in documents.into_iter().flatten() {
        let output = shell(folder.path(), &step.command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{said}", step.command);
        let printed = String::from_utf8(output.stdout).unwrap();
        let printed: Vec<&str> = printed.lines().collect();
        assert_eq!(printed.len(), step.printed.len(), "{}\n{printed:#?}", step.command);
        for (printed, written) in printed.iter().zip(&step.printed) {
            assert!(agree(printed, written), "{}\nprinted: {printed}\nwritten: {written}", step.command);
        }
    }
}

#[test]
fn lines_agree_when_words_do_and_numbers_nearly() {
    assert!(agree("{\"mse\":0.2116,\"n\":8}", "{\"mse\":0.2117,\"n\":8}"));
    assert!(!agree("{\"mse\":0.2116}", "{\"mse\":0.2200}"));
    assert!(!agree("conv1 conv2d 896", "conv2 conv2d 896"));
    assert!(!agree("a 1", "a 1 2"));
}

#[test]
fn the_readme_has_at_most_six_commands_for_each_method() {
    let readme = std::fs::read_to_string(checkout().join("README.md")).unwrap();
    let sections: Vec<&str> = readme.split("\n### ").skip(1).collect();
    assert!(sections.len() >= 5, "the README's methods are not where they are looked for");
    for section in sections {
        let commands = steps(section).len();
        assert!((1..=6).contains(&commands), "{commands} commands: {}", section.lines().next().unwrap());
    }
}

#[test]
fn the_page_of_tools_names_every_tool() {
    let page = std::fs::read_to_string(checkout().join("docs/tools.md")).unwrap();
    for entry in std::fs::read_dir(checkout().join("tools/src/bin")).unwrap() {
        let path = entry.unwrap().path();
        let tool = path.file_stem().unwrap().to_str().unwrap();
        assert!(page.contains(&format!("\n| `{tool}` | ")), "docs/tools.md: no row for {tool}");
    }
}
