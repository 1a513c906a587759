"""Where the simulator's pictures are made. The only place for Pillow and PyAV; imported by ``footage`` when needed."""
