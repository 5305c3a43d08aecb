//! The files of Multus' cache: found, read within limits, and removed at the end.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::libc::O_NOFOLLOW;
use plexus_cni::limits::NETWORKS_MAX;
use plexus_cni::name::check_container_id;
use plexus_cni::{CniError, Code};

use super::entry::{self, Delegate, Entry};

/// Longest file read, in bytes: a list of [`NETWORKS_MAX`] configs stays below.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most files looked at in one directory.
const FILES_MAX: usize = 1 << 16;
/// The extension of a file that could not be decoded and was set aside.
const SET_ASIDE: &str = "unreadable";

/// Multus' cache directory, `cniDir`.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
}

/// What the cache holds of one container.
#[derive(Debug, Default)]
pub struct Container {
    /// Its networks in the order of ADD; absent where there is no list, or none that can be read.
    pub delegates: Option<Vec<Delegate>>,
    /// What libcni kept of its ADDs, by file name.
    pub entries: Vec<Entry>,
    pub(super) files: Vec<PathBuf>,
    pub(super) unreadable: Vec<PathBuf>,
}

impl Cache {
    /// The cache in `dir`, which need not exist.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// What is known of a container; `None` where there is no file about it.
    pub fn container(&self, container_id: &str) -> Result<Option<Container>, CniError> {
        check_container_id(container_id)?;
        let mut found = Container::default();
        let list = self.dir.join(container_id);
        if let Some(text) = read(&list)? {
            found.delegates = found.take(list, entry::delegates(&text));
        }
        for path in self.results_of(container_id)? {
            let Some(text) = read(&path)? else { continue };
            let decoded = entry::entry(&text);
            if decoded.as_ref().is_ok_and(|entry| entry.container_id != container_id) {
                // Names are joined by a character that they may hold themselves.
                continue;
            }
            let entry = found.take(path, decoded);
            found.entries.extend(entry);
        }
        Ok(Some(found).filter(|found| !found.files.is_empty() || !found.unreadable.is_empty()))
    }

    /// Containers with a list, whose list is older than `age`.
    pub fn containers(&self, age: Duration) -> Result<Vec<String>, CniError> {
        let until = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut ids = Vec::new();
        for path in listing(&self.dir)? {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let is_old = metadata.modified().is_ok_and(|modified| modified <= until);
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_aside = path.extension().is_some_and(|extension| extension == SET_ASIDE);
            if metadata.is_file() && is_old && !is_aside && check_container_id(name).is_ok() {
                ids.push(name.to_owned());
            }
        }
        Ok(ids)
    }

    /// Files `<network>-<container id>-<interface>`, sorted.
    fn results_of(&self, container_id: &str) -> Result<Vec<PathBuf>, CniError> {
        let infix = format!("-{container_id}-");
        let mut paths = listing(&self.dir.join("results"))?;
        paths.retain(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains(&infix))
                && path.extension().is_none_or(|extension| extension != SET_ASIDE)
        });
        paths.truncate(2 * NETWORKS_MAX);
        Ok(paths)
    }
}

impl Container {
    /// Removes its files; what could not be decoded is set aside, since nobody can use it and no pod must hang over it.
    pub fn forget(self) -> Result<(), CniError> {
        for path in &self.files {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed("remove", path, &error));
                }
                _ => {}
            }
        }
        for path in &self.unreadable {
            let mut aside = path.clone().into_os_string();
            aside.push(format!(".{SET_ASIDE}"));
            fs::rename(path, &aside).map_err(|error| failed("set aside", path, &error))?;
        }
        Ok(())
    }

    /// Remembers the file, and hands its content out if that was decoded.
    fn take<T>(&mut self, path: PathBuf, decoded: Result<T, CniError>) -> Option<T> {
        match decoded {
            Ok(content) => {
                self.files.push(path);
                Some(content)
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a file of Multus' cache is of no use");
                self.unreadable.push(path);
                None
            }
        }
    }
}

/// The entries of a directory, sorted; one that is not there has none.
fn listing(dir: &Path) -> Result<Vec<PathBuf>, CniError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed("list", dir, &error)),
    };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).take(FILES_MAX).collect();
    paths.sort();
    Ok(paths)
}

/// A regular file's content; `None` where there is none of that name.
fn read(path: &Path) -> Result<Option<Vec<u8>>, CniError> {
    let file = match OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path, &error)),
    };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(|error| failed("read", path, &error))?;
    Ok(Some(text))
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> CniError {
    CniError::new(Code::State, format!("cannot {verb} {} of Multus' cache", path.display()))
        .because(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "a0be809e59c27e7cd8f51a3cb972221cb67d907f081baaa579b74fa1e9e6306a";

    fn recorded() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/multus-recorded/cache");
        fs::create_dir(dir.path().join("results")).unwrap();
        for below in ["", "results"] {
            for entry in fs::read_dir(source.join(below)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    fs::copy(&path, dir.path().join(below).join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        let cache = Cache::at(dir.path());
        (dir, cache)
    }

    fn names(dir: &Path) -> Vec<String> {
        let paths = listing(dir).unwrap().into_iter();
        paths.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_containers_files_are_found_and_removed_and_no_others() {
        let (dir, cache) = recorded();
        let other = dir.path().join("results/mv1-other-net1");
        fs::write(&other, "{}").unwrap();
        let inside = dir.path().join(format!("results/mv1-x-{ID}-y-net1"));
        let text = fs::read_to_string(dir.path().join(format!("results/mv1-{ID}-net1"))).unwrap();
        fs::write(&inside, text.replace(ID, &format!("x-{ID}-y"))).unwrap();
        assert_eq!(cache.containers(Duration::ZERO).unwrap(), [ID]);
        let found = cache.container(ID).unwrap().unwrap();
        assert_eq!((found.delegates.as_ref().unwrap().len(), found.entries.len()), (3, 3));
        found.forget().unwrap();
        assert_eq!(names(dir.path()), ["results"]);
        assert_eq!(
            names(&dir.path().join("results")),
            ["mv1-other-net1".to_owned(), format!("mv1-x-{ID}-y-net1")]
        );
        assert!(cache.container(ID).unwrap().is_none());
    }

    #[test]
    fn a_list_that_was_cut_off_is_set_aside_and_what_libcni_kept_counts() {
        let (dir, cache) = recorded();
        let whole = fs::read(dir.path().join(ID)).unwrap();
        fs::write(dir.path().join(ID), &whole[..100]).unwrap();
        let found = cache.container(ID).unwrap().unwrap();
        assert!(found.delegates.is_none() && found.entries.len() == 3);
        found.forget().unwrap();
        assert_eq!(names(dir.path()), [format!("{ID}.unreadable"), "results".into()]);
        assert!(
            cache.container(ID).unwrap().is_none() && cache.containers(Duration::ZERO).unwrap().is_empty()
        );
    }

    #[test]
    fn a_young_list_and_links_are_passed_over_and_no_name_leads_out_of_the_directory() {
        let (dir, cache) = recorded();
        assert!(cache.containers(Duration::from_hours(1)).unwrap().is_empty());
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("linked")).unwrap();
        assert_eq!(cache.containers(Duration::ZERO).unwrap(), [ID]);
        assert!(cache.container("linked").is_err());
        assert!(cache.container("../x").is_err());
        assert!(Cache::at(&dir.path().join("nowhere")).containers(Duration::ZERO).unwrap().is_empty());
    }
}
