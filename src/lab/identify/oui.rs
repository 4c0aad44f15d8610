//! Vendors by the prefix of the Ethernet address.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::lab::capture::Mac;
use crate::lab::error::Error;

/// Vendors of common smart-home devices, from the IEEE registry (MA-L).
const BUILT_IN_VENDORS: [(u32, &str); 26] = [
    (0x00_037f, "Atheros"),
    (0x00_1788, "Philips Lighting"),
    (0x00_1a22, "eQ-3"),
    (0x00_24e4, "Withings"),
    (0x18_b430, "Nest Labs"),
    (0x1c_5f2b, "D-Link"),
    (0x20_f85e, "Delta Electronics"),
    (0x38_1f8d, "Tuya"),
    (0x3c_4937, "Assmann Electronic"),
    (0x44_650d, "Amazon"),
    (0x4c_efc0, "Amazon"),
    (0x50_c7bf, "TP-Link"),
    (0x50_dce7, "Amazon"),
    (0x5c_cf7f, "Espressif"),
    (0x68_3a48, "Samjin"),
    (0x6c_7220, "D-Link"),
    (0x74_da38, "Edimax"),
    (0x78_8b2a, "Zhen Shi (Xiaomi)"),
    (0x84_1826, "Osram"),
    (0x90_8d78, "D-Link"),
    (0x94_103e, "Belkin"),
    (0xa0_9208, "Tuya"),
    (0xac_cf23, "Hi-Flying"),
    (0xb0_c554, "D-Link"),
    (0xb4_750e, "Belkin"),
    (0xec_1a59, "Belkin"),
];

/// Vendors by the first 24 bits of an address.
#[derive(Clone, Debug)]
pub struct Vendors(BTreeMap<u32, String>);

impl Vendors {
    /// The built-in vendors of common smart-home devices.
    pub fn built_in() -> Vendors {
        Vendors(BUILT_IN_VENDORS.iter().map(|&(oui, vendor)| (oui, vendor.to_owned())).collect())
    }

    /// Adds the vendors of a file: Wireshark's `manuf` (`00:17:88<tab>Name...`), the IEEE's `oui.txt`
    /// (`001788     (base 16)<tab>Name`) or its `oui.csv` (`MA-L,001788,Name,...`). Prefixes longer than 24 bits and
    /// lines in other formats are ignored; a file without any prefix is an error.
    pub fn read(mut self, path: &Path) -> Result<Vendors, Error> {
        let bytes = fs::read(path).map_err(Error::io("reading vendor list", path))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut found = false;
        for (oui, vendor) in text.lines().filter_map(parse_line) {
            self.0.insert(oui, vendor.to_owned());
            found = true;
        }
        if !found {
            return Err(Error::content(
                path,
                0,
                "no line like `00:17:88 Vendor`; give Wireshark's manuf, or the IEEE's oui.txt or oui.csv",
            ));
        }
        Ok(self)
    }

    /// The vendor of an address. A locally administered one, as phones choose at random, has none.
    pub fn vendor(&self, mac: Mac) -> Option<&str> {
        if is_locally_administered(mac) { None } else { self.0.get(&oui(mac)).map(String::as_str) }
    }
}

/// The vendor prefix (OUI) of an address.
pub fn oui(mac: Mac) -> u32 {
    u32::from_be_bytes([0, mac.0[0], mac.0[1], mac.0[2]])
}

/// Whether an address is locally administered: chosen by the host, not assigned by a vendor.
pub fn is_locally_administered(mac: Mac) -> bool {
    mac.0[0] & 2 != 0
}

fn parse_line(line: &str) -> Option<(u32, &str)> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("MA-L,") {
        let (prefix, rest) = rest.split_once(',')?;
        let vendor = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?,
            None => rest.split(',').next()?,
        };
        return Some((hexadecimal(prefix)?, vendor.trim()));
    }
    let (prefix, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim().trim_start_matches("(base 16)").trim_start();
    // Wireshark's list has a short and a long name; the long one is more informative.
    let vendor = rest.rsplit('\t').next()?.trim();
    Some((hexadecimal(prefix)?, vendor))
}

fn hexadecimal(prefix: &str) -> Option<u32> {
    let digits: String = prefix.chars().filter(|letter| !":-".contains(*letter)).collect();
    if digits.len() == 6 { u32::from_str_radix(&digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_lines_of_all_three_lists() {
        for line in [
            "00:17:88\tPhilipsLight\tPhilips Lighting BV",
            "00-17-88 Philips Lighting BV",
            "001788     (base 16)\t\tPhilips Lighting BV",
            "MA-L,001788,Philips Lighting BV,High Tech Campus Eindhoven NL",
            "MA-L,001788,\"Philips Lighting BV\",\"High Tech Campus, Eindhoven\"",
        ] {
            assert_eq!(parse_line(line), Some((0x001788, "Philips Lighting BV")), "{line}");
        }
        for line in ["", "# comment", "00:1B:C5:00:00:00/36\tConvergi\tConverging Systems", "Assignment,Name"] {
            assert_eq!(parse_line(line), None, "{line}");
        }
    }

    #[test]
    fn looks_up_vendors_of_globally_unique_addresses() {
        let vendors = Vendors::built_in();
        assert_eq!(vendors.vendor("18:b4:30:26:34:40".parse().unwrap()), Some("Nest Labs"));
        assert_eq!(vendors.vendor("1a:b4:30:26:34:40".parse().unwrap()), None, "locally administered");
        assert!(BUILT_IN_VENDORS.is_sorted_by_key(|entry| entry.0));
    }

    #[test]
    fn a_list_without_vendors_is_an_error() {
        let path = std::env::temp_dir().join(format!("millpond-{}-oui", std::process::id()));
        fs::write(&path, "no vendors here\n").unwrap();
        let message = Vendors::built_in().read(&path).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        assert!(message.contains("manuf"), "{message}");
    }
}
