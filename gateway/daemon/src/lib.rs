//! hospital-gateway: configuration, supervision, refine, uplink, control socket, command line.
