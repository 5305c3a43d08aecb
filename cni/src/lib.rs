//! CNI documents, network selection, planning and the wire protocol: pure, no I/O.
