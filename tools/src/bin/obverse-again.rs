//! Runs again the command that made a file or folder, as its sidecar recorded it.

obverse_tools::main!(obverse_tools::tools::obverse_again);
