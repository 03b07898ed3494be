//! Container images on disk: archives, blobs, layers.
