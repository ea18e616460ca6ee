//! Enumerations whose variants, names and descriptions stand in one table.

/// Declares an enumeration from a table: one row a variant, one column a property.
///
/// Generates the enumeration, `COUNT`, `ALL` (in the order of `index`), `index`, and one `const fn` for each
/// column. A variant cannot be declared without a row, nor a row without a variant.
///
/// ```
/// xstun_core::enumeration! {
///     /// How a coin fell.
///     pub enum Side {
///         /// The side with the portrait.
///         Heads = ("heads", true),
///         /// The other side.
///         Tails = ("tails", false),
///     }
///     columns {
///         /// Name.
///         name: &'static str,
///         /// Whether it wins.
///         wins: bool,
///     }
/// }
/// assert_eq!(Side::ALL.map(Side::name), ["heads", "tails"]);
/// assert_eq!(Side::Tails.index(), 1);
/// assert!(Side::Heads.wins());
/// ```
#[macro_export]
macro_rules! enumeration {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$doc:meta])* $variant:ident = ($($value:expr),+ $(,)?),)+
        }
        columns { $($columns:tt)+ }
    ) => {
        $(#[$about])*
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visibility enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every variant, in the order of its index.
            pub const ALL: [$name; $name::COUNT] = [$($name::$variant),+];

            /// Number of variants.
            pub const COUNT: usize = [$(stringify!($variant)),+].len();

            /// Index of the variant in [`ALL`](Self::ALL), and of its counter.
            #[inline(always)]
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        $crate::enumeration!(@columns $visibility $name { $($columns)+ } $($variant ($($value),+))+);
    };
    (@columns $visibility:vis $name:ident { $(#[$doc:meta])* $column:ident: $type:ty $(, $($rest:tt)*)? }
        $($variant:ident ($value:expr $(, $tail:expr)*))+
    ) => {
        impl $name {
            $(#[$doc])*
            $visibility const fn $column(self) -> $type {
                match self {
                    $($name::$variant => $value,)+
                }
            }
        }

        $crate::enumeration!(@columns $visibility $name { $($($rest)*)? } $($variant ($($tail),*))+);
    };
    (@columns $visibility:vis $name:ident {} $($variant:ident ())+) => {};
}
