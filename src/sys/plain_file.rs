//! Reads small plain files. The path comes from settings, so anything may be there.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;

/// The content of the plain file at `path`, at most `max_bytes` long, or the reason why it cannot be read.
///
/// Never blocks: to open a FIFO waits for a writer, and a device such as `/dev/zero` has no end. What is there is
/// therefore asked of the open file. A check of the path alone could be overtaken by another file of that name.
pub fn read(path: &str, max_bytes: usize) -> Result<Vec<u8>, String> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| error.to_string())?;
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("not a plain file".to_owned());
    }
    let mut content = Vec::new();
    file.take(max_bytes as u64 + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() > max_bytes {
        return Err(format!("larger than {max_bytes} bytes"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_small_plain_files_are_read_and_nothing_hangs() {
        let folder = std::env::temp_dir().join(format!("millpond-plain-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        std::fs::write(at("small"), [b'x'; 64]).unwrap();
        nix::unistd::mkfifo(at("fifo").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        symlink(at("small"), at("link")).unwrap();
        assert_eq!(read(&at("small"), 64), Ok(vec![b'x'; 64]));
        assert_eq!(read(&at("link"), 64), Ok(vec![b'x'; 64]));
        assert_eq!(read(&at("small"), 63), Err("larger than 63 bytes".to_owned()));
        for name in ["fifo", "endless", "."] {
            assert_eq!(read(&at(name), 64), Err("not a plain file".to_owned()), "{name}");
        }
        assert!(read(&at("absent"), 64).is_err_and(|why| why.contains("No such file")));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
