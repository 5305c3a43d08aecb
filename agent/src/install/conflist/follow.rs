//! Keeping the runtime's config as the primary CNI's says.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use plexus_cni::json::parse_object;
use plexus_cni::limits::CONFIG_BYTES_MAX;
use plexus_cni::meta::META_TYPES;
use serde_json::Value;

use super::state::{Stage, State};
use super::{ConflistSettings, OnExit, choose, is_ours, render};
use crate::install::atomic;

/// Events that come within this after the first are one change: installers write their file in several steps.
const SETTLE: Duration = Duration::from_millis(200);
/// Longest time that a stream of events holds a change up.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// The directories are read again after this even without an event: one may not be there yet, and some file systems send none.
const RESCAN: Duration = Duration::from_secs(2);
/// Most files looked at in the directory.
const FILES_MAX: usize = 1000;
/// Only root's runtime reads it.
const MODE: u32 = 0o600;

/// Follows the primary CNI's config until it is told to end.
pub struct Follower {
    settings: ConflistSettings,
    /// Held while the file is written; true once plexusd is about to end.
    ended: Arc<Mutex<bool>>,
}

/// Starts to follow on a thread of its own; nothing here holds up the agent's socket.
pub fn start(settings: &ConflistSettings, state: &State) -> std::io::Result<Follower> {
    state.set(Stage::Waiting { why: "the primary CNI's config was not read yet".into() });
    let ended = Arc::new(Mutex::new(false));
    let mut work = Work {
        settings: settings.clone(),
        state: state.clone(),
        ended: Arc::clone(&ended),
        watch: Watch::new(),
    };
    std::thread::Builder::new().name("conflist".into()).spawn(move || work.run())?;
    Ok(Follower { settings: settings.clone(), ended })
}

impl Follower {
    /// Ends; the file goes if that is what the operator wants, and if it is still ours.
    pub fn end(self) -> anyhow::Result<()> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let path = self.settings.path();
        if self.settings.on_exit == OnExit::Remove && is_ours(&path) {
            atomic::remove(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            tracing::info!(path = %path.display(), "removed: the primary CNI alone serves pods from now on");
        }
        Ok(())
    }
}

/// The thread's part.
struct Work {
    settings: ConflistSettings,
    state: State,
    ended: Arc<Mutex<bool>>,
    watch: Watch,
}

impl Work {
    fn run(&mut self) {
        loop {
            let settings = &self.settings;
            let indicator_dir = settings.readiness_indicator.as_deref().and_then(Path::parent);
            let dirs = [Some(&*settings.primary_dir), Some(&*settings.conf_dir), indicator_dir];
            self.watch.keep(dirs.into_iter().flatten());
            {
                let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
                if *ended {
                    return;
                }
                self.look();
            }
            self.watch.wait();
        }
    }

    /// Brings the file up to date once, and says what is new.
    fn look(&self) {
        let stage = match self.update() {
            Ok(primary) => Stage::Current { primary: primary.display().to_string() },
            Err(error) if is_ours(&self.settings.path()) => Stage::Stale { why: format!("{error:#}") },
            Err(error) => Stage::Waiting { why: format!("{error:#}") },
        };
        if !self.state.set(stage.clone()) {
            return;
        }
        let path = self.settings.path().display().to_string();
        match stage {
            Stage::Current { primary } => tracing::info!(path, primary, "the runtime's config is up to date"),
            Stage::Stale { why } => tracing::error!(path, "the runtime's config stays as it was: {why}"),
            Stage::Waiting { why } => tracing::warn!(path, "the runtime has no config of ours yet: {why}"),
            Stage::Unmanaged => {}
        }
    }

    /// Writes the file where it says something else; the primary's path.
    fn update(&self) -> anyhow::Result<PathBuf> {
        let settings = &self.settings;
        if let Some(indicator) = &settings.readiness_indicator {
            ensure!(indicator.exists(), "readiness indicator {} is not there", indicator.display());
        }
        let (path, text) = primary(settings)?;
        let shown = path.display().to_string();
        let config = render(&text, &shown, settings)
            .with_context(|| format!("the primary CNI's config {shown} cannot be used"))?;
        let target = settings.path();
        if !fs::read_to_string(&target).is_ok_and(|present| present == config) {
            atomic::write(&target, &config, MODE)
                .with_context(|| format!("cannot write {}", target.display()))?;
            warn_of_earlier(settings);
        }
        Ok(path)
    }
}

/// The primary CNI's config: the first file whose plugin connects pods itself.
fn primary(settings: &ConflistSettings) -> anyhow::Result<(PathBuf, String)> {
    let dir = &settings.primary_dir;
    let files = listing(dir)?;
    let candidates = choose(&files, &settings.file_name, settings.primary.as_deref());
    for name in &candidates {
        let path = dir.join(name);
        let text = read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Somebody else's way of calling a meta-plugin, whatever its file is called. One that is named is refused later.
        if settings.primary.is_some() || !is_meta(&text) {
            return Ok((path, text));
        }
    }
    match &settings.primary {
        Some(named) => bail!("the primary CNI's config {} is not there", dir.join(named).display()),
        None => bail!("no config of a primary CNI is in {}", dir.display()),
    }
}

fn is_meta(text: &str) -> bool {
    let Ok(document) = parse_object(text.as_bytes(), "config") else { return false };
    let plugin = document.get("plugins").and_then(|plugins| plugins.get(0)).and_then(Value::as_object);
    let plugin_type = plugin.unwrap_or(&document).get("type").and_then(Value::as_str);
    plugin_type.is_some_and(|plugin_type| META_TYPES.contains(&plugin_type))
}

/// A runtime reads the alphabetically first file only.
fn warn_of_earlier(settings: &ConflistSettings) {
    let names = listing(&settings.conf_dir).unwrap_or_default();
    let is_read = |name: &&String| {
        ["conf", "conflist", "json"].iter().any(|known| name.ends_with(&format!(".{known}")))
    };
    let first = names.iter().filter(is_read).min();
    if let Some(first) = first.filter(|first| **first != settings.file_name) {
        tracing::warn!(
            first,
            ours = settings.file_name,
            "the runtime reads another config: its name comes before ours"
        );
    }
}

fn listing(dir: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.take(FILES_MAX).collect())
}

fn read(path: &Path) -> std::io::Result<String> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    file.take(CONFIG_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Wakes up when something happens in one of some directories.
struct Watch {
    sender: Sender<()>,
    events: Receiver<()>,
    /// Each with the inode that it had: a directory may be replaced.
    watched: Vec<(PathBuf, u64, RecommendedWatcher)>,
}

impl Watch {
    fn new() -> Self {
        let (sender, events) = channel();
        Self { sender, events, watched: Vec::new() }
    }

    /// Watches these directories, as far as they are there.
    fn keep<'a>(&mut self, dirs: impl Iterator<Item = &'a Path>) {
        use std::os::unix::fs::MetadataExt as _;
        for dir in dirs {
            let inode = fs::metadata(dir).map(|metadata| metadata.ino()).ok();
            self.watched.retain(|(path, known, _)| path != dir || Some(*known) == inode);
            let Some(inode) = inode else { continue };
            if self.watched.iter().any(|(path, ..)| path == dir) {
                continue;
            }
            let sender = self.sender.clone();
            let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading the directory is an event as well.
                if !event.is_ok_and(|event| event.kind.is_access()) {
                    sender.send(()).unwrap_or_default();
                }
            });
            // Where it cannot be watched, it is looked at from time to time.
            if let Ok(mut watcher) = watcher
                && watcher.watch(dir, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.push((dir.to_owned(), inode, watcher));
            }
        }
    }

    /// Until something happened and has settled, or a while is over.
    fn wait(&self) {
        match self.events.recv_timeout(RESCAN) {
            Ok(()) => {
                let give_up_at = Instant::now() + SETTLE_MAX;
                while Instant::now() < give_up_at && self.events.recv_timeout(SETTLE).is_ok() {}
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

#[cfg(test)]
mod tests;
