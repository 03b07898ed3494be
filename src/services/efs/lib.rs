//! Amazon EFS: its operations. What a file system holds is a folder of the node; nothing here touches it.
