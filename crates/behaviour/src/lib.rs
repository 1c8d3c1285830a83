//! The probe servers and the scenarios over them.
