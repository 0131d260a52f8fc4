//! HL7 v2, sans-IO: framer, message index, character sets, acknowledgement.
