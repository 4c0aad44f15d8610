//! Which texts can be the name of a network interface. Settings of other programs have other texts in the same place,
//! such as the path of a modem, and one of them in a set makes nft refuse the whole table.

/// Maximum length of an interface's name in bytes: the kernel's `IFNAMSIZ` without the zero at the end.
const MAX_NAME_BYTES: usize = 15;

/// Characters that the kernel refuses (`dev_valid_name`), nft reads as a pattern, quote or escape, or that delimit
/// elements in a listing.
const FORBIDDEN: &[char] = &['/', ':', '*', '"', '\\', ',', '{', '}'];

/// Whether an interface can have this name, and a rule can contain it.
fn is_interface_name(name: &str) -> bool {
    let is_forbidden = |c: char| c.is_whitespace() || c.is_control() || FORBIDDEN.contains(&c);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !matches!(name, "." | "..") && !name.contains(is_forbidden)
}

/// The names as elements of a set of interfaces in nft's notation, sorted and without duplicates. What cannot be a name
/// is left out: no interface has it, so nothing that the set decides changes.
pub(super) fn interface_elements(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let names = names.into_iter().filter(|name| is_interface_name(name));
    let mut elements: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    elements.sort_unstable();
    elements.dedup();
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_name_becomes_an_element() {
        for name in ["wan", "br-lan", "eth0.3", "lan1@x", "wg+0", "123456789012345", "...", "größe", "-"] {
            assert!(is_interface_name(name), "{name}");
        }
        for text in
            ["", ".", "..", "1234567890123456", "/dev/ttyUSB0", "eth0:1", "a b", "a\t", "a\n", "wg*", "\"", "a\\"]
        {
            assert!(!is_interface_name(text), "{text:?}");
        }
        let names = ["wan", "wg*", "br-lan", "wan", "/sys/devices/usb1/1-1", ""].map(str::to_owned);
        assert_eq!(interface_elements(names), ["\"br-lan\"", "\"wan\""]);
    }
}
