//! Join texts: a valid join text survives a round trip.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::config::join::Invitation;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(invitation) = Invitation::from_text(&text) {
        assert_eq!(Invitation::from_text(&invitation.to_text()), Ok(invitation));
    }
});
