//! Recognises files that are not captures, or captures of an unsupported kind, by their first bytes.

/// Names what a file is if it is no pcap or pcapng file, with what to do. `magic` are the first bytes, at least four.
pub(super) fn unsupported(magic: &[u8]) -> Option<&'static str> {
    let starts = |bytes: &[u8]| magic.starts_with(bytes);
    let either_order = |number: u32| starts(&number.to_be_bytes()) || starts(&number.to_le_bytes());
    Some(match magic {
        _ if starts(&[0x1f, 0x8b]) => "compressed with gzip; unpack it first: `gunzip -k FILE`",
        _ if starts(&[0xfd, b'7', b'z', b'X']) => "compressed with xz; unpack it first: `unxz -k FILE`",
        _ if starts(&[0x28, 0xb5, 0x2f, 0xfd]) => "compressed with zstd; unpack it first: `unzstd FILE`",
        _ if starts(&[0x04, 0x22, 0x4d, 0x18]) => "compressed with lz4; unpack it first: `unlz4 FILE`",
        _ if starts(b"BZh") => "compressed with bzip2; unpack it first: `bunzip2 -k FILE`",
        _ if starts(b"PK\x03\x04") => "a zip archive; unpack it first: `unzip FILE`",
        _ if starts(b"snoop") => "a capture of Solaris' snoop; convert it first: `editcap -F pcap FILE NEW`",
        _ if starts(b"GMBU") || starts(b"RTSS") => {
            "a capture of Microsoft Network Monitor; convert it first: `editcap -F pcap FILE NEW`"
        }
        _ if either_order(0xa1b2_cd34) => {
            "a pcap variant with longer records (Kuznetzov's, magic number a1b2cd34); convert it first: \
             `editcap -F pcap FILE NEW`"
        }
        _ if [0xa1b2_34cd, 0xa12b_3c4d, 0xa1b2_c3cb, 0xa1e2_cb12].into_iter().any(either_order) => {
            "an old or private pcap variant; convert it first: `editcap -F pcap FILE NEW`"
        }
        _ => return None,
    })
}
