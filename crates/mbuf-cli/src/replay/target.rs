//! Where outputs go: a file that is there whole or not at all, a pipe or device, or standard output.
//!
//! ```text
//!   Target (named, nothing opened) ─▶ refuse_shared ─▶ Sink: temporary file ─▶ finish: renamed
//!                                                              └ dropped: removed
//! ```

use core::fmt::Display;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::system::{file_number, stdout_number};

/// An output that is named and not opened.
#[derive(Debug)]
pub(super) struct Target {
    name: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Stdout,
    /// A pipe or device: written as it is.
    Special(PathBuf),
    /// A regular file, by its canonical name; its permissions when it is there already.
    File(PathBuf, Option<fs::Permissions>),
}

/// What tells a file from others, whatever it is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Number(u64, u64),
    /// For a file that does not exist yet, or has no number.
    Path(PathBuf),
}

impl Identity {
    /// The identity of a regular file; pipes and devices may be shared.
    pub(super) fn of(meta: &Metadata, path: &Path) -> Option<Self> {
        let path = || Some(Self::Path(path.canonicalize().ok()?));
        let number = file_number(meta).map(|(device, number)| Self::Number(device, number));
        if meta.is_file() { number.or_else(path) } else { None }
    }
}

impl Target {
    /// Looks at what `path` is; `-` is standard output.
    pub(super) fn new(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        match Place::of(path) {
            Ok(Place::Stdout) => Ok(Self { name: "(standard output)".into(), place: Place::Stdout }),
            Ok(place) => Ok(Self { name, place }),
            Err(error) => Err(cannot_write(&name, error)),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    /// The identity of what must not be read or written otherwise.
    pub(super) fn identity(&self) -> Option<Identity> {
        match &self.place {
            Place::Stdout => match stdout_number() {
                Some((device, number)) => Some(Identity::Number(device, number)),
                None => Some(Identity::Path("-".into())),
            },
            Place::Special(_) => None,
            Place::File(path, _) => match fs::metadata(path) {
                Ok(meta) => Identity::of(&meta, path),
                Err(_) => Some(Identity::Path(path.clone())),
            },
        }
    }
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout);
        }
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::File(place_of_absent(path)?, None));
            }
            Err(error) => return Err(error),
        };
        if meta.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Standard output by another name, such as /dev/stdout. Not /dev/null, which may be both.
        let number = file_number(&meta);
        if number.is_some() && number == stdout_number() && !is_character_device(&meta) {
            return Ok(Self::Stdout);
        }
        if !meta.is_file() {
            return Ok(Self::Special(path.to_owned()));
        }
        File::options().append(true).open(path)?; // a file that may not be written may not be replaced
        Ok(Self::File(path.canonicalize()?, Some(meta.permissions())))
    }
}

#[cfg(unix)]
fn is_character_device(meta: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    meta.file_type().is_char_device()
}

#[cfg(windows)]
fn is_character_device(_: &Metadata) -> bool {
    false
}

/// The canonical name of a file that is not there; behind symbolic links, what they point to.
fn place_of_absent(path: &Path) -> io::Result<PathBuf> {
    let is_name = |name: &&OsStr| path.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes());
    // Not what ends with `/`, `/.` or `/..`.
    let name = path.file_name().filter(is_name).ok_or(io::ErrorKind::IsADirectory)?;
    let directory = directory_of(path).canonicalize()?;
    let place = directory.join(name);
    match place.read_link() {
        // A circle of links is an error of another kind than "not found", and does not get here.
        Ok(target) => place_of_absent(&directory.join(target)),
        Err(_) => Ok(place),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Refuses to use one file for two purposes.
pub(super) fn refuse_shared(uses: &[(&str, String, Option<Identity>)]) -> Result<(), String> {
    for (index, (first, _, identity)) in uses.iter().enumerate() {
        let later = uses.get(index + 1..).unwrap_or_default();
        let shared = later.iter().find(|(.., other)| other.is_some() && other == identity);
        if let Some((second, name, _)) = shared {
            return Err(format!("{name} would be overwritten: {first} and {second} are the same file"));
        }
    }
    Ok(())
}

/// An output being written.
pub(super) struct Sink {
    name: String,
    stream: Stream,
}

enum Stream {
    Direct(Box<dyn Write>),
    /// A file, and where it belongs.
    Temporary(NamedTempFile, PathBuf),
}

impl Sink {
    /// Opens an output. A regular file stays as it is until [`finish`](Self::finish).
    pub(super) fn open(target: &Target) -> Result<Self, String> {
        let stream = match &target.place {
            Place::Stdout => Ok(Stream::Direct(Box::new(io::stdout()))),
            Place::Special(path) => {
                File::options().write(true).open(path).map(|file| Stream::Direct(Box::new(file)))
            }
            Place::File(path, permissions) => {
                temporary_beside(path, permissions.clone()).map(|file| Stream::Temporary(file, path.clone()))
            }
        };
        match stream {
            Ok(stream) => Ok(Self { name: target.name.clone(), stream }),
            Err(error) => Err(cannot_write(&target.name, error)),
        }
    }

    /// What the output is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Puts the file in its place; returns its name.
    pub(super) fn finish(self) -> Result<String, String> {
        let result = match self.stream {
            Stream::Direct(mut stream) => stream.flush(),
            Stream::Temporary(file, path) => file.persist(path).map(drop).map_err(|error| error.error),
        };
        match result {
            Ok(()) => Ok(self.name),
            Err(error) => Err(cannot_write(&self.name, error)),
        }
    }

    fn stream(&mut self) -> &mut dyn Write {
        match &mut self.stream {
            Stream::Direct(stream) => stream,
            Stream::Temporary(file, _) => file.as_file_mut(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream().flush()
    }
}

/// The message of an error that concerns an output.
pub(super) fn cannot_write(name: &str, error: impl Display) -> String {
    format!("cannot write {name}: {error}")
}

/// A temporary file with the permissions that `path` has or would get.
fn temporary_beside(path: &Path, permissions: Option<fs::Permissions>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mbufctl-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666)); // less the umask
    let file = builder.tempfile_in(directory_of(path))?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    Ok(file)
}
