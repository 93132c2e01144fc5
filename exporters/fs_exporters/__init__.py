"""How an encoder is exported: the smoothed graph, its tracing, the parity gate, and writing the bundle."""
