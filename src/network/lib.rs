//! The network of the Fargate node: VPCs, ENIs, the way in from the host.
