//! Join texts: what is read can be written, and reads the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::config::join::Invitation;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(invitation) = Invitation::from_text(&text) {
        assert_eq!(Invitation::from_text(&invitation.to_text()), Ok(invitation));
    }
});
