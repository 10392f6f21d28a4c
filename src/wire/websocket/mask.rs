//! Unmasking of client payloads (RFC 6455 section 5.3), in place and across split chunks.

/// Wide enough for the compiler to use vector registers.
const BLOCK: usize = 32;

/// The masking key, rotated to the next byte of the payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Unmasks the next part of the payload.
    pub(super) fn apply(&mut self, payload: &mut [u8]) {
        let mut key = [0; BLOCK];
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = self.0[index % 4];
        }
        let (blocks, rest) = payload.as_chunks_mut::<BLOCK>();
        for block in blocks {
            for (byte, key) in block.iter_mut().zip(&key) {
                *byte ^= key;
            }
        }
        for (byte, key) in rest.iter_mut().zip(&key) {
            *byte ^= key;
        }
        self.0.rotate_left(payload.len() % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn bytewise(payload: &[u8]) -> Vec<u8> {
        payload
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ KEY[index % 4])
            .collect()
    }

    #[test]
    fn every_length_agrees_with_the_definition() {
        for length in 0..200u8 {
            let plain: Vec<u8> = (0..length).collect();
            let mut payload = plain.clone();
            Mask::new(KEY).apply(&mut payload);
            assert_eq!(payload, bytewise(&plain), "{length}");
        }
    }

    #[test]
    fn every_split_continues_the_key() {
        let plain: Vec<u8> = (0..100).collect();
        for split in 0..plain.len() {
            let mut payload = plain.clone();
            let (head, tail) = payload.split_at_mut(split);
            let mut mask = Mask::new(KEY);
            mask.apply(head);
            mask.apply(tail);
            assert_eq!(payload, bytewise(&plain), "{split}");
        }
    }
}
