//! Strategy text to checked IR, and back to text
