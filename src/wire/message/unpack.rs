//! MessagePack as JSON text, in one pass: no recursion, no memory reserved for claimed lengths, and a limit on the
//! text.
//!
//! What JSON cannot express (binary data, extensions, keys other than strings, NaN) is refused with the path of the
//! field, as in JSON itself.

use super::malformed::Malformed;
use super::scan::{Step, path};
use rmp::Marker;
use smallvec::SmallVec;
use std::ops::Range;

/// As many levels as readers of JSON accept.
const MAX_DEPTH: usize = 127;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpackable {
    /// Not MessagePack, or nothing that JSON can express.
    Malformed(Malformed),
    /// The text would exceed the limit.
    TooLong,
}

/// A value of MessagePack as JSON text of at most `max_length` bytes.
pub fn unpack(packed: &[u8], max_length: usize) -> Result<String, Unpackable> {
    let mut walk = Walk {
        rest: packed,
        out: String::with_capacity(packed.len().saturating_add(16).min(max_length)),
        max_length,
        levels: SmallVec::new(),
    };
    walk.run()?;
    Ok(walk.out)
}

/// An incomplete array or map.
struct Level {
    is_map: bool,
    /// Items or members to come.
    left: u32,
    /// How many have come.
    count: u32,
    /// Where the current member's name stands in the output.
    name: Range<usize>,
}

struct Walk<'a> {
    rest: &'a [u8],
    out: String,
    max_length: usize,
    levels: SmallVec<[Level; 8]>,
}

impl<'a> Walk<'a> {
    fn run(&mut self) -> Result<(), Unpackable> {
        self.value()?;
        while let Some(level) = self.levels.last_mut() {
            if level.left == 0 {
                let end = if level.is_map { "}" } else { "]" };
                self.levels.pop();
                self.push(end)?;
                continue;
            }
            level.left -= 1;
            level.count += 1;
            let (is_first, is_map) = (level.count == 1, level.is_map);
            if !is_first {
                self.push(",")?;
            }
            if is_map {
                self.name()?;
                self.push(":")?;
            }
            self.value()?;
        }
        match self.rest.len() {
            0 => Ok(()),
            more => Err(self.fault(format!(
                "{more} bytes follow the value; expected one value in each message"
            ))),
        }
    }

    /// A value, or the beginning of an array or a map.
    fn value(&mut self) -> Result<(), Unpackable> {
        let marker = self.marker()?;
        if let Some(length) = self.string_length(marker)? {
            return self.string(length);
        }
        match marker {
            Marker::Null => self.push("null"),
            Marker::True => self.push("true"),
            Marker::False => self.push("false"),
            Marker::F32 => {
                let number = f32::from_be_bytes(self.array()?);
                self.float(number, number.is_finite())
            }
            Marker::F64 => {
                let number = f64::from_be_bytes(self.array()?);
                self.float(number, number.is_finite())
            }
            Marker::FixArray(length) => self.begin(false, length.into()),
            Marker::Array16 => self.begin_16(false),
            Marker::Array32 => self.begin_32(false),
            Marker::FixMap(length) => self.begin(true, length.into()),
            Marker::Map16 => self.begin_16(true),
            Marker::Map32 => self.begin_32(true),
            Marker::Reserved => Err(self.fault("the byte 0xc1 begins no value")),
            marker => match self.whole(marker)? {
                Some(()) => Ok(()),
                None => Err(self.fault(self.unsayable(marker))),
            },
        }
    }

    /// `None`: the marker is not a whole number's.
    fn whole(&mut self, marker: Marker) -> Result<Option<()>, Unpackable> {
        let mut digits = itoa::Buffer::new();
        let text = match marker {
            Marker::FixPos(number) => digits.format(number),
            Marker::FixNeg(number) => digits.format(number),
            Marker::U8 => digits.format(u8::from_be_bytes(self.array()?)),
            Marker::U16 => digits.format(u16::from_be_bytes(self.array()?)),
            Marker::U32 => digits.format(u32::from_be_bytes(self.array()?)),
            Marker::U64 => digits.format(u64::from_be_bytes(self.array()?)),
            Marker::I8 => digits.format(i8::from_be_bytes(self.array()?)),
            Marker::I16 => digits.format(i16::from_be_bytes(self.array()?)),
            Marker::I32 => digits.format(i32::from_be_bytes(self.array()?)),
            Marker::I64 => digits.format(i64::from_be_bytes(self.array()?)),
            _ => return Ok(None),
        };
        self.push(text).map(Some)
    }

    /// A number of that many bits, in the fewest digits that identify it among numbers of that size.
    fn float(
        &mut self,
        number: impl serde::Serialize + std::fmt::Display,
        is_finite: bool,
    ) -> Result<(), Unpackable> {
        if !is_finite {
            return Err(self.fault(format!(
                "`{number}` is not JSON; expected a number, or nil where none is known"
            )));
        }
        let text = serde_json::to_string(&number);
        self.push(&text.map_err(|error| self.fault(error.to_string()))?)
    }

    fn name(&mut self) -> Result<(), Unpackable> {
        if let Some(level) = self.levels.last_mut() {
            level.name = 0..0;
        }
        let marker = self.marker()?;
        let begin = self.out.len();
        match self.string_length(marker)? {
            Some(length) => self.string(length)?,
            None => {
                let kind = kind_of(marker);
                return Err(self.fault(format!("a key of this map is {kind}; expected a string")));
            }
        }
        let end = self.out.len();
        if let Some(level) = self.levels.last_mut() {
            level.name = begin + 1..end - 1;
        }
        Ok(())
    }

    /// `None`: the marker is not a string's.
    fn string_length(&mut self, marker: Marker) -> Result<Option<usize>, Unpackable> {
        Ok(Some(match marker {
            Marker::FixStr(length) => length.into(),
            Marker::Str8 => u8::from_be_bytes(self.array()?).into(),
            Marker::Str16 => u16::from_be_bytes(self.array()?).into(),
            Marker::Str32 => u32::from_be_bytes(self.array()?) as usize,
            _ => return Ok(None),
        }))
    }

    fn string(&mut self, length: usize) -> Result<(), Unpackable> {
        let bytes = self.take(length)?;
        let text =
            simdutf8::basic::from_utf8(bytes).map_err(|_| self.fault("a string is not UTF-8"))?;
        self.push("\"")?;
        let mut done = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if *byte >= b' ' && *byte != b'"' && *byte != b'\\' {
                continue;
            }
            self.push(&text[done..at])?;
            self.escape(*byte)?;
            done = at + 1;
        }
        self.push(&text[done..])?;
        self.push("\"")
    }

    fn escape(&mut self, byte: u8) -> Result<(), Unpackable> {
        match byte {
            b'"' => self.push("\\\""),
            b'\\' => self.push("\\\\"),
            b'\n' => self.push("\\n"),
            b'\r' => self.push("\\r"),
            b'\t' => self.push("\\t"),
            8 => self.push("\\b"),
            12 => self.push("\\f"),
            byte => {
                let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
                self.push("\\u00")?;
                self.push(digit(byte >> 4).encode_utf8(&mut [0; 4]))?;
                self.push(digit(byte & 15).encode_utf8(&mut [0; 4]))
            }
        }
    }

    fn begin_16(&mut self, is_map: bool) -> Result<(), Unpackable> {
        let length = u16::from_be_bytes(self.array()?);
        self.begin(is_map, length.into())
    }

    fn begin_32(&mut self, is_map: bool) -> Result<(), Unpackable> {
        let length = u32::from_be_bytes(self.array()?);
        self.begin(is_map, length)
    }

    fn begin(&mut self, is_map: bool, left: u32) -> Result<(), Unpackable> {
        // Each item takes at least a byte, each member two.
        let least = u64::from(left) << u32::from(is_map);
        if least > self.rest.len() as u64 {
            return Err(self.early_end());
        }
        if self.levels.len() >= MAX_DEPTH {
            return Err(self.fault(format!(
                "nested too deep; expected at most {MAX_DEPTH} levels of arrays and maps"
            )));
        }
        self.levels.push(Level {
            is_map,
            left,
            count: 0,
            name: 0..0,
        });
        self.push(if is_map { "{" } else { "[" })
    }

    /// What JSON cannot express.
    fn unsayable(&self, marker: Marker) -> String {
        let expected = match marker {
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => "a string, for instance in base64",
            _ => "nil, a boolean, a number, a string, an array or a map",
        };
        let number = match self.extension(marker) {
            Some(number) => format!(" (type {number})"),
            None => String::new(),
        };
        let kind = kind_of(marker);
        format!("{kind}{number} is not JSON; expected {expected}")
    }

    fn extension(&self, marker: Marker) -> Option<i8> {
        let place = match marker {
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16 => 0,
            Marker::Ext8 => 1,
            Marker::Ext16 => 2,
            Marker::Ext32 => 4,
            _ => return None,
        };
        self.rest.get(place).map(|byte| i8::from_be_bytes([*byte]))
    }

    fn marker(&mut self) -> Result<Marker, Unpackable> {
        let [byte] = self.array()?;
        Ok(Marker::from_u8(byte))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unpackable> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| self.early_end())?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Unpackable> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.early_end())?;
        self.rest = rest;
        Ok(bytes)
    }

    fn push(&mut self, text: &str) -> Result<(), Unpackable> {
        if self.max_length - self.out.len() < text.len() {
            return Err(Unpackable::TooLong);
        }
        if self.out.capacity() - self.out.len() < text.len() {
            // Doubling would leave half of it unused.
            let more = text.len().max(self.out.len() / 2);
            self.out.reserve_exact(more);
        }
        self.out.push_str(text);
        Ok(())
    }

    /// What is wrong with the field where the walk is.
    fn fault(&self, reason: impl Into<String>) -> Unpackable {
        let step = |level: &Level| match level.is_map {
            true => Step::Member(&self.out[level.name.clone()]),
            false => Step::Item(level.count.saturating_sub(1) as usize),
        };
        // The name of the last member may be what is wrong.
        let is_known = |step: &Step<'_>| !matches!(step, Step::Member(""));
        let field = path(self.levels.iter().map(step).filter(is_known));
        Unpackable::Malformed(Malformed::text(field, reason))
    }

    fn early_end(&self) -> Unpackable {
        self.fault("the message ends in the middle of a value")
    }
}

fn kind_of(marker: Marker) -> &'static str {
    match marker {
        Marker::Null => "nil",
        Marker::True | Marker::False => "a boolean",
        Marker::F32 | Marker::F64 => "a float",
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => "binary data",
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => "an array",
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => "a map",
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => "a string",
        Marker::Reserved => "the byte 0xc1",
        Marker::FixExt1
        | Marker::FixExt2
        | Marker::FixExt4
        | Marker::FixExt8
        | Marker::FixExt16
        | Marker::Ext8
        | Marker::Ext16
        | Marker::Ext32 => "an extension",
        _ => "a whole number",
    }
}
