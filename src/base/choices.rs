//! Enums of which the configuration spells the values as given.

macro_rules! choices {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$meaning])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every spelling, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The spelling of this value.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}
pub(crate) use choices;
