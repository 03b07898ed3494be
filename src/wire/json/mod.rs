//! awsJson 1.0 and 1.1.

mod read;
mod write;

pub use read::JsonReader;
pub use write::JsonWriter;

#[cfg(test)]
mod tests;
