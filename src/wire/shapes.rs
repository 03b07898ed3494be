//! The macros that generated code is written in.

/// Declares a structure: `index field: Type = Member;`, in the model's order; `Name = "Root"` names the root element of its
/// REST-XML document.
#[macro_export]
macro_rules! structure {
    ($(#[$meta:meta])* $name:ident $(= $root:literal)? { $($index:literal $field:ident: $type:ty = $member:expr;)* }) => {
        $(#[$meta])*
        #[allow(missing_docs, unreachable_pub, reason = "AWS documents its shapes")]
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $(pub $field: ::std::option::Option<$type>,)*
        }

        impl $crate::Value for $name {
            fn fill(
                &mut self,
                reader: &mut dyn $crate::Reader,
                _shape: &'static $crate::Shape,
            ) -> ::std::result::Result<(), $crate::DecodeError> {
                $crate::value::fill_structure(self, reader)
            }

            fn write(&self, writer: &mut dyn $crate::Writer, _shape: &'static $crate::Shape) {
                $crate::value::write_structure(self, writer);
            }

            fn check(
                &self,
                _shape: &'static $crate::Shape,
                path: &$crate::check::Path<'_>,
                found: &mut ::std::vec::Vec<$crate::Violation>,
            ) {
                $crate::value::check_structure(self, path, found);
            }

            fn describe(&self) -> ::std::string::String {
                ::std::borrow::ToOwned::to_owned(stringify!($name))
            }
        }

        impl $crate::Empty for $name {
            fn empty() -> Self {
                Self::default()
            }
        }

        impl $crate::Structure for $name {
            fn schema(&self) -> &'static $crate::Schema {
                static SCHEMA: $crate::Schema =
                    $crate::Schema { name: stringify!($name), root: $crate::root!($($root)?), members: &[$($member,)*] };
                &SCHEMA
            }

            fn member(&self, index: usize) -> &dyn $crate::Slot {
                match index {
                    $($index => &self.$field,)*
                    _ => $crate::value::no_member(self.schema(), index),
                }
            }

            fn member_mut(&mut self, index: usize) -> &mut dyn $crate::Slot {
                match index {
                    $($index => &mut self.$field,)*
                    _ => $crate::value::no_member(self.schema(), index),
                }
            }
        }
    };
}

/// Declares an enumeration: `Variant = "wire value",`. Values that the model does not know are kept in `Other`.
#[macro_export]
macro_rules! enumeration {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[allow(missing_docs, unreachable_pub, reason = "AWS documents its shapes")]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($variant,)*
            /// A value that the model does not know.
            Other(::std::string::String),
        }

        #[allow(unreachable_pub, reason = "enumerations of tests are private")]
        impl $name {
            /// The values that the model knows.
            pub const VALUES: &'static [&'static str] = &[$($text),*];

            /// Returns the value as it is on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl ::std::convert::From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    _ => Self::Other(::std::borrow::ToOwned::to_owned(text)),
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::Value for $name {
            fn fill(
                &mut self,
                reader: &mut dyn $crate::Reader,
                _shape: &'static $crate::Shape,
            ) -> ::std::result::Result<(), $crate::DecodeError> {
                *self = Self::from(&*reader.text()?);
                ::std::result::Result::Ok(())
            }

            fn write(&self, writer: &mut dyn $crate::Writer, _shape: &'static $crate::Shape) {
                writer.text(self.as_str());
            }

            fn check(
                &self,
                _shape: &'static $crate::Shape,
                path: &$crate::check::Path<'_>,
                found: &mut ::std::vec::Vec<$crate::Violation>,
            ) {
                if let Self::Other(actual) = self {
                    found.push(path.unknown_value(Self::VALUES, actual));
                }
            }

            fn describe(&self) -> ::std::string::String {
                ::std::borrow::ToOwned::to_owned(self.as_str())
            }
        }

        impl $crate::Empty for $name {
            fn empty() -> Self {
                Self::Other(::std::string::String::new())
            }
        }
    };
}

/// Declares a service's `Error`: `Variant = "Code", status;`, or `Variant(Payload) = "Code", status;` where the exception
/// has members besides its message; a second code is that of the query protocol.
#[macro_export]
macro_rules! errors {
    ($($variant:ident $(($payload:ident))? = $code:literal, $status:literal $(, $query:literal)?;)*) => {
        /// What an operation of this service can fail with; the text is the message that the client sees.
        #[allow(missing_docs, reason = "AWS documents its exceptions")]
        #[derive(Debug)]
        pub enum Error {
            $($variant($crate::payload!($($payload)?)),)*
            /// An error that the model does not list.
            Other($crate::ApiError),
        }

        impl ::std::convert::From<Error> for $crate::ApiError {
            fn from(error: Error) -> Self {
                match error {
                    $(Error::$variant(payload) => {
                        $crate::Payload::into_error(payload, $code, $status)$(.with_query_code($query))?
                    })*
                    Error::Other(error) => error,
                }
            }
        }

        impl ::std::convert::From<$crate::ApiError> for Error {
            fn from(error: $crate::ApiError) -> Self {
                Self::Other(error)
            }
        }
    };
}

/// The root element of a structure: see [`structure!`].
#[doc(hidden)]
#[macro_export]
macro_rules! root {
    () => {
        ::std::option::Option::None
    };
    ($root:literal) => {
        ::std::option::Option::Some($root)
    };
}

/// The type that an error variant holds: see [`errors!`].
#[doc(hidden)]
#[macro_export]
macro_rules! payload {
    () => {
        ::std::string::String
    };
    ($payload:ident) => {
        $payload
    };
}

/// Declares operation markers in a module `ops`: `Name(Input) -> Output;`, beside the service's `Error`.
#[macro_export]
macro_rules! operations {
    ($($name:ident($input:ty) -> $output:ty;)*) => {
        /// The operations, as [`wire::service!`](wire::service) names them.
        pub mod ops {
            #[allow(unused_imports, reason = "a service may have only operations without members")]
            use super::*;

            $(
                #[doc = concat!("The operation ", stringify!($name), ".")]
                #[derive(Clone, Copy, Debug)]
                pub struct $name;

                impl $crate::Operation for $name {
                    type Input = $input;
                    type Output = $output;
                    type Error = super::Error;
                    const NAME: &'static str = stringify!($name);
                }
            )*
        }
    };
}
