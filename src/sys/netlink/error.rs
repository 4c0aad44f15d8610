//! Refusals of the kernel, and other failures of a netlink request.

use std::fmt;
use std::io;

use netlink_packet_core::NLMSG_DONE;

use super::message::{NLMSG_HEADER_BYTES, string, u32_at_start};
use crate::apply::Cause;

/// A failed netlink request.
#[derive(Debug)]
pub enum NetlinkError {
    /// The socket failed.
    Io(io::Error),
    /// The kernel refused the request.
    Refused {
        /// The error number, positive.
        errno: i32,
        /// The kernel's text from the extended acknowledgement; may be empty.
        text: String,
    },
    /// The answer is malformed.
    Malformed,
    /// Objects changed during five dumps in a row.
    Changing,
}

impl NetlinkError {
    /// The kernel's error number, if it gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            NetlinkError::Refused { errno, .. } => Some(*errno),
            NetlinkError::Io(error) => error.raw_os_error(),
            _ => None,
        }
    }
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetlinkError::Io(error) => write!(f, "netlink: {error}"),
            NetlinkError::Refused { errno, text } => {
                write!(f, "{}", io::Error::from_raw_os_error(*errno))?;
                if text.is_empty() { Ok(()) } else { write!(f, ": {text}") }
            }
            NetlinkError::Malformed => f.write_str("netlink: the kernel's answer is malformed"),
            NetlinkError::Changing => f.write_str("netlink: objects keep changing while they are listed; try again"),
        }
    }
}

impl From<NetlinkError> for Cause {
    fn from(error: NetlinkError) -> Cause {
        error.to_string().into()
    }
}

impl From<io::Error> for NetlinkError {
    fn from(error: io::Error) -> NetlinkError {
        NetlinkError::Io(error)
    }
}

const NLM_F_CAPPED: u16 = 0x100;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Parses an error message: the number, the request (complete or only its header), then attributes.
pub fn acknowledgement(kind: u16, flags: u16, payload: &[u8]) -> Result<(), NetlinkError> {
    let Some(code) = payload.first_chunk().map(|chunk| i32::from_ne_bytes(*chunk)) else {
        return if kind == NLMSG_DONE { Ok(()) } else { Err(NetlinkError::Malformed) };
    };
    // The end of a dump may hold its length, which is not negative.
    if code >= 0 {
        return Ok(());
    }
    let rest = payload.get(4..).unwrap_or(&[]);
    let request = match kind {
        NLMSG_DONE => 0,
        _ if flags & NLM_F_CAPPED != 0 => NLMSG_HEADER_BYTES,
        _ => u32_at_start(rest).map_or(NLMSG_HEADER_BYTES, |length| (length as usize + 3) & !3),
    };
    let text = rest.get(request..).and_then(|tail| string(tail, NLMSGERR_ATTR_MSG)).unwrap_or_default();
    Err(NetlinkError::Refused { errno: code.checked_neg().unwrap_or(0), text })
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NLMSG_ERROR;

    use super::*;
    use crate::sys::netlink::message::Body;

    #[test]
    fn a_refusal_has_the_kernels_text() {
        let mut payload = (-17i32).to_ne_bytes().to_vec();
        payload.extend(36u32.to_ne_bytes());
        payload.resize(4 + 36, 0);
        payload.extend(Body::default().string(NLMSGERR_ATTR_MSG, "rule exists").0);
        let error = acknowledgement(NLMSG_ERROR, 0, &payload).unwrap_err();
        assert_eq!(error.errno(), Some(17));
        assert_eq!(error.to_string(), "File exists (os error 17): rule exists");
        assert!(acknowledgement(NLMSG_ERROR, 0, &0i32.to_ne_bytes()).is_ok());
    }

    #[test]
    fn truncated_answers_are_errors_not_panics() {
        let mut payload = (-1i32).to_ne_bytes().to_vec();
        payload.extend(u32::MAX.to_ne_bytes());
        for length in 0..payload.len() {
            let _ = acknowledgement(NLMSG_ERROR, NLM_F_CAPPED, &payload[..length]);
            let _ = acknowledgement(NLMSG_ERROR, 0, &payload[..length]);
        }
    }
}
