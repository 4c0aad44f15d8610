//! Signatures of feeds. The `openssl` program makes them, so this program never reads a private key.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256, Sha512};

use crate::error::{Error, Result};
use crate::package::hex;

/// The two keys of a feed, because each package manager requires another type of key.
pub struct Keys {
    pub opkg: OpkgKey,
    pub apk: ApkKey,
}

impl Keys {
    /// Reads `opkg.pem` and `apk.pem` in `folder`.
    pub fn in_folder(folder: &Path) -> Result<Keys> {
        Ok(Keys { opkg: OpkgKey::read(&folder.join("opkg.pem"))?, apk: ApkKey::read(&folder.join("apk.pem"))? })
    }
}

/// An Ed25519 key, whose signatures `usign` verifies.
pub struct OpkgKey {
    path: PathBuf,
    number: [u8; 8],
}

impl OpkgKey {
    fn read(path: &Path) -> Result<OpkgKey> {
        // The SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) has 44 bytes; the last 32 are the key.
        let public = public_key(path, 44, 32)?;
        let digest = Sha256::digest(public);
        Ok(OpkgKey { path: path.to_owned(), number: digest[..8].try_into().expect("eight bytes") })
    }

    /// The content of the signature file for `message`: a comment, then algorithm, key number and signature in base64.
    pub fn sign(&self, message: &Path) -> Result<Vec<u8>> {
        let arguments = ["pkeyutl", "-sign", "-rawin", "-inkey", &utf8(&self.path), "-in", &utf8(message)];
        let signature = openssl("signing", &arguments, &[])?;
        let text = openssl("encoding", &["base64", "-A"], &[b"Ed", self.number.as_slice(), &signature].concat())?;
        Ok([format!("untrusted comment: signed by key {}\n", hex(&self.number)).into_bytes(), text, vec![b'\n']]
            .concat())
    }
}

/// An elliptic-curve key (P-256). apk identifies it by the start of its digest.
pub struct ApkKey {
    path: PathBuf,
    id: [u8; 16],
}

impl ApkKey {
    fn read(path: &Path) -> Result<ApkKey> {
        // The SubjectPublicKeyInfo of a P-256 key (RFC 5480) has 91 bytes; the last 65 are the point.
        let digest = Sha512::digest(public_key(path, 91, 65)?);
        Ok(ApkKey { path: path.to_owned(), id: digest[..16].try_into().expect("sixteen bytes") })
    }

    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        openssl("signing", &["dgst", "-sha512", "-sign", &utf8(&self.path)], message)
    }
}

/// The last `length` bytes of the public key of a private key. The public key must have `der_bytes` in DER.
fn public_key(path: &Path, der_bytes: usize, length: usize) -> Result<Vec<u8>> {
    let der = openssl("reading the key", &["pkey", "-in", &utf8(path), "-pubout", "-outform", "DER"], &[])?;
    if der.len() != der_bytes {
        return Err(Error::content(
            path,
            "wrong type of key: opkg.pem must be Ed25519 and apk.pem P-256; see docs/openwrt.md",
        ));
    }
    Ok(der[der_bytes - length..].to_vec())
}

fn utf8(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Runs openssl with `input` on standard input, and returns its output.
fn openssl(doing: &'static str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let failed = |cause: String| Error::OpenSsl { doing, cause };
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    // Writing fails if openssl does not read its input; the exit status then tells why.
    let _ = child.stdin.take().map(|mut pipe| pipe.write_all(input));
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(output.stdout)
}
