"""MedSR: super-resolution and registration of medical images; one engine for every door."""

__version__ = "0.1.0"
