"""A stand-in for a paid text-to-video server: in process for a run without a key, or on a loopback port."""
