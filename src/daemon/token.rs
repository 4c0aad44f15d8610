//! The event sources of the daemon, as the numbers that epoll returns for their descriptors.

use crate::core::CellKind;

/// A source of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The timer of the event loop.
    Timer,
    /// Signals of the process.
    Signals,
    /// Packets from the devices, on the TUN interface.
    Packets,
    /// Cells from the peers, on the socket that sends cells of this kind.
    Cells(CellKind),
    /// Notifications of changes in the kernel.
    Kernel,
    /// The reconcile job's output.
    ReconcileJob,
    /// The name lookup's output.
    Lookup,
    /// The output of openvpn.
    Openvpn,
    /// The ubus broker.
    Bus,
    /// The process that makes an answer that takes long.
    SlowAnswer,
    /// Packets of devices that are watched but not shaped.
    PassiveMonitor,
    /// The process that audits the wire.
    Audit,
    /// New clients of the control socket.
    ControlSocket,
    /// Messages between the threads of an endpoint.
    Shards,
    /// A client of the control socket, by its number.
    Client(u8),
}

/// Clients have the tokens from here on.
const FIRST_CLIENT: u64 = 16;

impl From<Token> for u64 {
    fn from(token: Token) -> u64 {
        match token {
            Token::Timer => 0,
            Token::Signals => 1,
            Token::Packets => 2,
            Token::Cells(CellKind::Data) => 3,
            Token::Cells(CellKind::Cover) => 4,
            Token::Kernel => 5,
            Token::ReconcileJob => 6,
            Token::Lookup => 7,
            Token::Openvpn => 8,
            Token::Bus => 9,
            Token::SlowAnswer => 10,
            Token::PassiveMonitor => 11,
            Token::Audit => 12,
            Token::ControlSocket => 13,
            Token::Shards => 14,
            Token::Client(number) => FIRST_CLIENT + u64::from(number),
        }
    }
}

impl Token {
    /// The token with this number; `None` if no source has it.
    pub fn from_number(number: u64) -> Option<Token> {
        Some(match number {
            0 => Token::Timer,
            1 => Token::Signals,
            2 => Token::Packets,
            3 => Token::Cells(CellKind::Data),
            4 => Token::Cells(CellKind::Cover),
            5 => Token::Kernel,
            6 => Token::ReconcileJob,
            7 => Token::Lookup,
            8 => Token::Openvpn,
            9 => Token::Bus,
            10 => Token::SlowAnswer,
            11 => Token::PassiveMonitor,
            12 => Token::Audit,
            13 => Token::ControlSocket,
            14 => Token::Shards,
            number => Token::Client(u8::try_from(number.checked_sub(FIRST_CLIENT)?).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_has_a_number_of_its_own() {
        let tokens: Vec<Token> = (0..300).filter_map(Token::from_number).collect();
        assert_eq!(tokens.len(), 15 + 256);
        for token in tokens {
            assert_eq!(Token::from_number(token.into()), Some(token));
        }
    }
}
