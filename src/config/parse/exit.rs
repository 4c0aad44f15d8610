//! `exit` of the sections `millpond` and `home`: another interface by which homes' packets leave an endpoint.

use super::reader::SectionReader;
use super::tunnel::OWN_INTERFACES;
use super::value::interface_name;

/// Reads the option. A program that cannot keep packets to the interface refuses it.
pub(super) fn read(reader: &mut SectionReader) -> Option<String> {
    if cfg!(not(feature = "endpoint")) {
        if reader.given("exit") {
            reader.error("exit", "this program was built for routers".to_owned());
        }
        return None;
    }
    let exit = reader.value("exit", interface_name)?;
    if OWN_INTERFACES.contains(&exit.as_str()) {
        reader.error("exit", format!("millpond's own interface (got '{exit}', want another program's tunnel)"));
    }
    Some(exit)
}
