//! Reads and checks OpenVPN profiles, with the files that they name.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use super::plain_file;
use crate::config::model::Role;
use crate::config::{SettingsProblem, Severity};
use crate::tunnel::openvpn::{self, NamedFile, Profile};

/// Maximum size of a profile, and of each file that it names. Real profiles have a few kilobytes.
const MAX_BYTES: usize = 64 * 1024;

/// A profile that was read and suits cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadedProfile {
    /// What its text says.
    pub profile: Profile,
    /// Hash of its text, by which a change is noticed.
    pub hash: u64,
}

/// Why a profile cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// It cannot be read; the text says why.
    Unreadable(String),
    /// Every error in it.
    Invalid(Vec<SettingsProblem>),
}

/// Reads and checks the profile at `path`. Not for the event loop: the disk may be slow.
pub fn load(path: &str, role: Role) -> Result<LoadedProfile, ProfileError> {
    let text = plain_file::read(path, MAX_BYTES).map_err(ProfileError::Unreadable)?;
    let parsed = openvpn::parse(&text, role);
    let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    let unreadable = openvpn::named_files(&text).into_iter().filter_map(|file| check_file(&file, folder));
    let mut problems = parsed.as_ref().err().cloned().unwrap_or_default();
    problems.extend(unreadable);
    problems.sort_by_key(|problem| problem.line);
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    match parsed {
        Ok(profile) if problems.is_empty() => Ok(LoadedProfile { profile, hash: hasher.finish() }),
        _ => Err(ProfileError::Invalid(problems)),
    }
}

/// openvpn reads these files before it prints anything, and would hang at a FIFO.
fn check_file(NamedFile { line, option, path }: &NamedFile, folder: &Path) -> Option<SettingsProblem> {
    let why = plain_file::read(&folder.join(path).to_string_lossy(), MAX_BYTES).err()?;
    let text = format!("{option}: {why} (got '{path}', want a plain file of at most {} KB)", MAX_BYTES / 1024);
    Some(SettingsProblem { severity: Severity::Error, section: String::new(), option: None, line: *line, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_and_its_files_must_be_small_plain_files() {
        let folder = std::env::temp_dir().join(format!("millpond-profile-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
        let load = |name: &str| load(&at(name), Role::Router);
        nix::unistd::mkfifo(at("fifo").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("endless")).unwrap();
        write("cert.pem", "a certificate");
        write("good", "client\nremote a 1\ncert cert.pem\nproto udp6\n");
        let good = load("good").unwrap();
        assert!(good.profile.ipv6);
        write("good", "client\nremote a 1\ncert cert.pem\nproto udp6\nverb 4\n");
        assert_ne!(load("good").unwrap().hash, good.hash, "a changed text is noticed");
        for name in ["fifo", "endless"] {
            assert_eq!(load(name), Err(ProfileError::Unreadable("not a plain file".into())), "{name}");
        }
        write("large", &"# comment\n".repeat(7000));
        assert_eq!(load("large"), Err(ProfileError::Unreadable("larger than 65536 bytes".into())));
        write("bad", &format!("client\nremote a 1\nca fifo\nkey {}\ncomp-lzo\ncert absent.pem\n", at("endless")));
        let Err(ProfileError::Invalid(problems)) = load("bad") else { panic!("the profile is invalid") };
        let texts: Vec<(usize, &str)> = problems.iter().map(|problem| (problem.line, problem.text.as_str())).collect();
        assert_eq!(texts.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(texts[0].1, "ca: not a plain file (got 'fifo', want a plain file of at most 64 KB)");
        assert!(texts[1].1.starts_with("key: not a plain file") && texts[3].1.starts_with("cert: No such file"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
