//! The way that leads to a file, link by link.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

/// Links on the way to one file; the system itself follows no more.
const LINKS_MAX: usize = 40;

/// Every place at which a change can make a path lead to something else.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Trail {
    /// The directories that hold the file and the links to it, or that its way ends in, without
    /// links in their paths. By path, the directory that is there: another one may take its place.
    pub(crate) directories: BTreeMap<PathBuf, Identity>,
    /// The names that matter in them.
    pub(crate) names: BTreeSet<OsString>,
}

/// Which directory, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// A number may be given to the next directory at once. Absent where nobody knows.
    created: Option<SystemTime>,
}

impl Trail {
    /// Follows a path as far as it leads.
    ///
    /// # Errors
    /// Where the working directory, from which a relative path starts, is gone.
    pub(crate) fn follow(path: &Path) -> io::Result<Self> {
        let mut trail = Self::default();
        let mut reached = PathBuf::from("/");
        let mut ahead: VecDeque<OsString> = steps(&std::path::absolute(path)?).collect();
        let mut links = 0;
        while let Some(step) = ahead.pop_front() {
            if step == ".." {
                reached.pop();
                continue;
            }
            let next = reached.join(&step);
            let Ok(metadata) = fs::symlink_metadata(&next) else {
                // What is missing may come here.
                trail.add(&reached, step);
                break;
            };
            if metadata.is_symlink() {
                trail.add(&reached, step);
                links += 1;
                let Ok(target) = fs::read_link(&next) else {
                    break;
                };
                if links > LINKS_MAX {
                    break;
                }
                if target.is_absolute() {
                    reached = PathBuf::from("/");
                }
                for step in steps(&target).collect::<Vec<_>>().into_iter().rev() {
                    ahead.push_front(step);
                }
            } else if metadata.is_dir() && !ahead.is_empty() {
                reached = next;
            } else {
                trail.add(&reached, step);
                break;
            }
        }
        Ok(trail)
    }

    fn add(&mut self, directory: &Path, name: OsString) {
        if let Ok(metadata) = fs::metadata(directory) {
            let identity = Identity {
                device: metadata.dev(),
                inode: metadata.ino(),
                created: metadata.created().ok(),
            };
            self.directories.insert(directory.to_owned(), identity);
        }
        // A directory that is renamed or removed is told of by its own name.
        self.names
            .extend(directory.file_name().map(ToOwned::to_owned));
        self.names.insert(name);
    }
}

fn steps(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// An empty directory, and its real path.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("mcp-fleet-trail-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path.canonicalize().unwrap())
        }

        fn directory(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir_all(&path).unwrap();
            path
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn leads_over(path: &Path, expected: &[&Path]) {
        let trail = Trail::follow(path).unwrap();
        let directories: Vec<&PathBuf> = trail.directories.keys().collect();
        assert_eq!(directories, expected);
    }

    #[test]
    fn a_plain_file_has_one_directory() {
        let place = Place::new("plain");
        let path = place.0.join("fleet.json");
        // Whether it is there or not.
        leads_over(&path, &[&place.0]);
        fs::write(&path, "{}").unwrap();
        leads_over(&path, &[&place.0]);
        let dotted = place.0.join("./fleet.json");
        leads_over(&dotted, &[&place.0]);
        assert!(
            Trail::follow(&path)
                .unwrap()
                .names
                .contains(&OsString::from("fleet.json"))
        );
    }

    #[test]
    fn a_mounted_config_map_is_followed_over_both_of_its_links() {
        let place = Place::new("map");
        let version = place.directory("..1");
        fs::write(version.join("fleet.json"), "{}").unwrap();
        symlink("..1", place.0.join("..data")).unwrap();
        symlink("..data/fleet.json", place.0.join("fleet.json")).unwrap();
        let path = place.0.join("fleet.json");
        leads_over(&path, &[&place.0, &version]);
        let names = Trail::follow(&path).unwrap().names;
        for name in ["..data", "..1", "fleet.json"] {
            assert!(names.contains(&OsString::from(name)), "{names:?}");
        }
    }

    #[test]
    fn links_of_directories_on_the_way_count_too() {
        let place = Place::new("way");
        let release = place.directory("releases/1");
        fs::write(release.join("fleet.json"), "{}").unwrap();
        symlink(&release, place.0.join("current")).unwrap();
        leads_over(&place.0.join("current/fleet.json"), &[&place.0, &release]);
        // From the link's target, not from where the link is.
        let up = place.0.join("current/../2/fleet.json");
        leads_over(&up, &[&place.0, &place.0.join("releases")]);
    }

    #[test]
    fn links_in_a_circle_end() {
        let place = Place::new("circle");
        symlink("b", place.0.join("a")).unwrap();
        symlink("a", place.0.join("b")).unwrap();
        leads_over(&place.0.join("a"), &[&place.0]);
    }

    #[test]
    fn another_directory_in_the_place_of_one_is_another_trail() {
        let place = Place::new("swap");
        let directory = place.directory("d");
        let path = directory.join("fleet.json");
        let before = Trail::follow(&path).unwrap();
        // Kept, so that its number is not given to the next one.
        fs::rename(&directory, place.0.join("old")).unwrap();
        fs::create_dir(&directory).unwrap();
        let after = Trail::follow(&path).unwrap();
        assert_eq!(before.names, after.names);
        assert_ne!(before, after);
    }
}
