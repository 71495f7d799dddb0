//! `obverse-table`: sidecars as Markdown, CSV, tabs and JSON.

use obverse_tests::{run, write_images};
use tempfile::TempDir;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 5, 1, 8).unwrap();
    for (rows, name) in [("3", "a b.npy"), ("4", "c.npy")] {
        let made = obverse_tests::tool("npy-cat")
            .args(["images.npy", "--quiet", "--head", rows, "-o", name])
            .current_dir(folder.path())
            .status();
        assert!(made.unwrap().success());
    }
    folder
}

fn table(folder: &TempDir, outputs: &[&str], arguments: &str) -> String {
    let mut command = obverse_tests::tool("obverse-table");
    let output = command.args(outputs).args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_row_for_each_output_and_a_column_for_each_key() {
    let folder = folder();
    let both = ["a b.npy", "c.npy"];
    let keys = "--columns rows,height=output.shape.2,head,tool";
    let markdown = "| output | rows | height | head | tool |\n|---|---|---|---|---|\n\
        | a b.npy | 3 | 8 | 3 | npy-cat |\n| c.npy | 4 | 8 | 4 | npy-cat |\n";
    assert_eq!(table(&folder, &both, keys), markdown);
    assert_eq!(
        table(&folder, &both, "--columns rows,parts --format csv"),
        "output,rows,parts\na b.npy,3,1\nc.npy,4,1\n"
    );
    assert_eq!(table(&folder, &both, "--columns rows,parts --format tsv --no-header"), "3\t1\n4\t1\n");
    let json = "[{\"output\":\"a b.npy\",\"n\":3},{\"output\":\"c.npy\",\"n\":4}]\n";
    assert_eq!(table(&folder, &both, "--columns n=rows --format json"), json);
}

#[test]
fn the_entries_of_a_list_are_rows() {
    let folder = folder();
    let words = "a\\ b.npy c.npy --at A,B --captions n --metric rows --quiet -o rows.svg";
    assert!(obverse_tests::shell(folder.path(), &format!("metric-view {words}")).status().unwrap().success());
    let found = table(&folder, &["rows.svg"], "--rows groups --columns at,mean,tool --format csv");
    assert_eq!(found, "output,at,mean,tool\nrows.svg,A,3.0,metric-view\nrows.svg,B,4.0,metric-view\n");
    run(folder.path(), "obverse-table", "rows.svg --rows rows --columns at")
        .fails(2, &["--rows", "nothing of this name"]);
}

#[test]
fn what_is_not_there_is_named_or_left_empty() {
    let folder = folder();
    run(folder.path(), "obverse-table", "c.npy --columns mse").fails(2, &["mse", "none"]);
    run(folder.path(), "obverse-table", "images.npy --columns rows").fails(2, &["images.npy.json"]);
    assert_eq!(
        table(&folder, &["c.npy", "images.npy"], "--columns rows --missing --format csv"),
        "output,rows\nc.npy,4\nimages.npy,\n"
    );
}
