//! A router's folder with BusyBox, for tests that run the packages' scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The project's folder.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The files and programs of a router that the scripts use.
pub struct Router {
    /// The folder that stands for the router's root.
    pub root: PathBuf,
}

impl Router {
    pub fn new(name: &str, settings: &str) -> Router {
        let root = std::env::temp_dir().join(format!("millpond-openwrt-{}-{name}", std::process::id()));
        _ = fs::remove_dir_all(&root);
        for part in ["bin", "etc/config", "etc/capabilities", "run", "usr/share/millpond"] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        let router = Router { root };
        let applets = ["awk", "sed", "grep", "sort", "cat", "sleep", "ls", "df", "basename", "mkdir", "rm", "ln"];
        for applet in applets {
            std::os::unix::fs::symlink(busybox().unwrap(), router.path("bin").join(applet)).unwrap();
        }
        router.program("millpond", "echo \"millpond $*\" >> \"$CALLS\"");
        router.program("ujail", ":");
        fs::write(router.path("etc/config/millpond"), settings).unwrap();
        fs::copy(shipped("etc/capabilities/millpond.json"), router.path("etc/capabilities/millpond.json")).unwrap();
        // The scripts call each other.
        for name in ["flush", "firewall"] {
            let script = router.script(&format!("usr/share/millpond/{name}"));
            fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        }
        router
    }

    pub fn path(&self, part: &str) -> PathBuf {
        self.root.join(part)
    }

    pub fn program(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!{} sh\n{body}\n", busybox().unwrap().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A copy of one of the package's scripts with this router's paths in place of the real ones.
    pub fn script(&self, name: &str) -> PathBuf {
        self.script_at(&shipped(name))
    }

    /// The same for the script at `path`.
    pub fn script_at(&self, path: &Path) -> PathBuf {
        let text = fs::read_to_string(path).unwrap();
        let (bin, etc) = (self.path("bin"), self.path("etc"));
        let (bin, etc) = (bin.display(), etc.display());
        let text = text
            .replace("/usr/bin/millpond", &format!("{bin}/millpond"))
            .replace("/sbin/ujail", &format!("{bin}/ujail"))
            .replace("/etc/config/", &format!("{etc}/config/"))
            .replace("/etc/millpond", &format!("{etc}/millpond"))
            .replace("/etc/iproute2", &format!("{etc}/iproute2"))
            .replace("/tmp/dhcp.leases", &self.path("tmp/dhcp.leases").display().to_string())
            .replace("/sys/class/net", &self.path("sys/class/net").display().to_string())
            .replace("/usr/share/millpond/f", &format!("{}/f", self.path("usr/share/millpond").display()))
            .replace("/usr/share/millpond/mask.awk", &shipped("usr/share/millpond/mask.awk").display().to_string())
            .replace("/etc/capabilities", &format!("{etc}/capabilities"))
            .replace("/var/run", &self.path("run").display().to_string());
        let copy = self.path("usr/share/millpond").join(path.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        copy
    }

    pub fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().map(|line| line.replace(&self.root.display().to_string(), "")).collect()
    }

    pub fn run(&self, arguments: &[&Path], environment: &[(&str, &str)]) -> Output {
        let calls = self.path("calls");
        _ = fs::remove_file(&calls);
        Command::new(busybox().unwrap())
            .arg("sh")
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("CALLS", calls)
            .env("UCI_DIR", self.path("etc/config"))
            .env("PROCD", self.path("procd"))
            .env("RC_D", self.path("etc/rc.d"))
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    /// Runs the init script and returns the recorded calls. Panics if the script fails or prints to standard error.
    pub fn init(&self, action: &str) -> Vec<String> {
        let common = Path::new(ROOT).join("tests/common/rc.common");
        let output = self.run(&[&common, &self.script("etc/init.d/millpond"), Path::new(action)], &[]);
        assert!(output.status.success(), "{action}: {output:?}");
        assert!(output.stderr.is_empty(), "{action}: {output:?}");
        self.calls()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.root);
    }
}

/// A file that the package ships.
pub fn shipped(name: &str) -> PathBuf {
    Path::new(ROOT).join("files").join(name)
}

/// The path of BusyBox.
pub fn busybox() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join("busybox")).find(|path| path.exists())
}

/// Whether BusyBox is available; prints a note if the test is skipped.
pub fn has_busybox(test: &str) -> bool {
    let has = busybox().is_some();
    if !has {
        println!("skipped {test}: there is no busybox on PATH");
    }
    has
}
