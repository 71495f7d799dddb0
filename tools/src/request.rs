//! What the user asked for, read from the parser itself, so that no flag can be forgotten.
//!
//! Every argument is recorded under the name the user types, with the value as typed, unless it is marked [`ChangesNothing`]. An
//! argument of type [`Input`] is recorded by its name and the digest of its file; one of type [`Output`] says what is written. A path
//! that only the tool can digest, such as a folder of which it reads a part, is marked [`Declared`].

use std::any::TypeId;
use std::ffi::OsString;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::builder::ArgExt;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// The key of the subcommand among the values of a request.
const COMMAND: &str = "command";

static REQUEST: OnceLock<Request> = OnceLock::new();

macro_rules! path_type {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(PathBuf);

        impl From<OsString> for $name {
            fn from(path: OsString) -> Self {
                Self(path.into())
            }
        }

        impl From<PathBuf> for $name {
            fn from(path: PathBuf) -> Self {
                Self(path)
            }
        }

        impl Deref for $name {
            type Target = Path;

            fn deref(&self) -> &Path {
                &self.0
            }
        }

        impl AsRef<Path> for $name {
            fn as_ref(&self) -> &Path {
                &self.0
            }
        }
    };
}

path_type! {
    /// A file or folder that a tool reads, recorded by the name of its argument and by its content.
    Input
}

path_type! {
    /// The file or folder that a tool writes.
    Output
}

/// Marks an argument that changes no byte of the output, such as a number of threads.
#[derive(Clone, Copy, Debug)]
pub struct ChangesNothing;

impl ArgExt for ChangesNothing {}

/// Marks a path whose content the tool declares itself, by [`crate::Task::input`].
#[derive(Clone, Copy, Debug)]
pub struct Declared;

impl ArgExt for Declared {}

/// A request: all arguments that decide the result.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The values as typed, by the names of their arguments, defaults included.
    pub values: Map<String, Value>,
    /// Those that are defaults.
    pub defaults: Map<String, Value>,
    /// What is read: the names of the arguments, and the paths.
    pub inputs: Vec<(String, PathBuf)>,
    /// What is written, and the endings that its name may have; empty if any will do.
    pub outputs: Vec<(PathBuf, &'static [&'static str])>,
}

impl Request {
    /// The request that `matches` of `command` make.
    pub fn of(command: &Command, matches: &ArgMatches) -> Self {
        let mut request = Self::default();
        request.add(command, matches);
        request
    }

    /// The request of this process; empty if no arguments were parsed.
    pub fn current() -> Self {
        REQUEST.get().cloned().unwrap_or_default()
    }

    /// Makes this the request of the process. The first one stays.
    pub(crate) fn set_current(self) {
        let _ = REQUEST.set(self);
    }

    fn add(&mut self, command: &Command, matches: &ArgMatches) {
        for argument in command.get_arguments() {
            self.add_argument(argument, matches);
        }
        if let Some((name, matches)) = matches.subcommand() {
            let said = match self.values.get(COMMAND).and_then(Value::as_str) {
                Some(above) => format!("{above} {name}"),
                None => name.to_owned(),
            };
            self.values.insert(COMMAND.to_owned(), said.into());
            if let Some(command) = command.find_subcommand(name) {
                self.add(command, matches);
            }
        }
    }

    fn add_argument(&mut self, argument: &Arg, matches: &ArgMatches) {
        let id = argument.get_id().as_str();
        let Ok(Some(raw)) = matches.try_get_raw(id) else { return };
        if argument.get::<ChangesNothing>().is_some() {
            return;
        }
        let name = argument.get_long().unwrap_or(id).to_owned();
        let is_default = matches.value_source(id) == Some(ValueSource::DefaultValue);
        let kind = argument.get_value_parser().type_id();
        if kind == TypeId::of::<Input>() {
            self.inputs.extend(raw.map(|path| (name.clone(), path.into())));
        } else if kind == TypeId::of::<Output>() {
            let endings = endings(argument);
            self.outputs.extend(raw.map(|path| (path.into(), endings)));
        } else if argument.get::<Declared>().is_some() {
            self.values.insert(name, "declared".into());
        } else if matches!(argument.get_action(), ArgAction::SetTrue) {
            if !is_default {
                self.values.insert(name, true.into());
            }
        } else {
            let values: Vec<Value> = raw.map(|value| shown(&value.to_string_lossy())).collect();
            let value =
                if is_list(argument) { Value::Array(values) } else { values.into_iter().next().unwrap_or_default() };
            if is_default {
                self.defaults.insert(name.clone(), value.clone());
            }
            self.values.insert(name, value);
        }
    }
}

/// The endings that the value's name in the help asks for, such as `Z.npy`.
fn endings(argument: &Arg) -> &'static [&'static str] {
    const KINDS: [(&str, &[&str]); 3] =
        [(".npy", &[".npy", ".npy.zst"]), (".npz", &[".npz"]), (".html", &[".html", ".htm"])];
    let shown = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    KINDS.iter().find(|(ending, _)| shown.ends_with(ending)).map_or(&[], |(_, endings)| endings)
}

/// Whether an argument may have several values.
fn is_list(argument: &Arg) -> bool {
    let most = argument.get_num_args().map_or(1, |range| range.max_values());
    most > 1 || argument.get_value_delimiter().is_some() || matches!(argument.get_action(), ArgAction::Append)
}

/// A value as typed: a number if JSON writes it the same way, else text.
fn shown(text: &str) -> Value {
    match serde_json::from_str::<Number>(text) {
        Ok(number) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}
