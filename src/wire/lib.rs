//! How AWS speaks: readers and writers of its protocols, the service router, errors on the wire.
