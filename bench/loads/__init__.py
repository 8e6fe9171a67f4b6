"""What is put on a server, and what is measured of it: one load per file."""
