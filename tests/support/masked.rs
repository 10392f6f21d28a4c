//! What a client says: masked frames. It shares no code with the server.
#![allow(dead_code, reason = "each test uses what it needs")]

/// The opcodes that clients use.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// One masked frame (RFC 6455 section 5.3).
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    masked_frame(0x80 | opcode, payload)
}

/// The same with its first byte as it is: of a fragment, say.
pub(crate) fn masked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x5a, 0x00, 0xff, 0x13];
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => match u16::try_from(long) {
            Ok(long) => {
                frame.push(0x80 | 126);
                frame.extend(long.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        },
    }
    frame.extend(KEY);
    let mask = KEY.iter().cycle();
    frame.extend(payload.iter().zip(mask).map(|(byte, key)| byte ^ key));
    frame
}
