//! The library's messages name fields, in backquotes: "`learning_rate`: expected …". A tool's user knows its flags.

use std::collections::BTreeMap;

use clap::{ArgMatches, Command};

/// The flags of the running command, by the fields that they set.
#[derive(Debug, Default)]
pub struct Flags(BTreeMap<String, String>);

impl Flags {
    /// The flags of a command and of the subcommand that runs, by their ids and by their own names in snake case.
    pub fn of(command: &Command, matches: &ArgMatches) -> Self {
        let mut flags = BTreeMap::new();
        let mut running = Some((command, matches));
        while let Some((command, matches)) = running {
            for flag in command.get_arguments() {
                let Some(long) = flag.get_long() else { continue };
                flags.insert(long.replace('-', "_"), format!("--{long}"));
                flags.insert(flag.get_id().to_string(), format!("--{long}"));
            }
            running = matches.subcommand().and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches)));
        }
        Self(flags)
    }

    /// A message of the library in the words of the tool: each field in backquotes that a flag sets becomes the flag.
    pub fn reword(&self, message: &str) -> String {
        let flags = self.0.iter();
        flags.fold(message.to_owned(), |message, (field, flag)| message.replace(&format!("`{field}`"), flag))
    }
}
