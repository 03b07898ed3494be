//! Amazon S3: its operations. Objects have one version; policies, access control lists and encryption are not kept, and
//! the region of a request is not compared with its bucket's.

mod bucket;
mod checksum;
mod condition;
mod error;
mod key;
mod listing;
mod multipart;
mod object;
mod range;

use state::Cx;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::s3,
    violation = error::violation,
    routes: [
        AbortMultipartUpload => multipart::abort::abort_multipart_upload,
        CompleteMultipartUpload => multipart::complete::complete_multipart_upload,
        CopyObject => object::copy::copy_object,
        CreateBucket => bucket::create_bucket,
        CreateMultipartUpload => multipart::create::create_multipart_upload,
        DeleteBucket => bucket::delete_bucket,
        DeleteObject => object::delete::delete_object,
        DeleteObjects => object::delete::delete_objects,
        GetBucketLocation => bucket::get_bucket_location,
        GetBucketVersioning => bucket::get_bucket_versioning,
        GetObject => object::get::get_object,
        HeadBucket => bucket::head_bucket,
        HeadObject => object::get::head_object,
        ListBuckets => bucket::list_buckets,
        ListMultipartUploads => multipart::list::list_multipart_uploads,
        ListObjects => listing::list_objects,
        ListObjectsV2 => listing::list_objects_v2,
        ListParts => multipart::list::list_parts,
        PutObject => object::put::put_object,
        UploadPart => multipart::part::upload_part,
        UploadPartCopy => multipart::part::upload_part_copy,
    ],
};
