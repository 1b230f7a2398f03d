"""MRML, without Qt: nodes ⇄ Volume, and what a result needs in a scene. RAS ⇄ LPS happens in `nodes.py` and nowhere else."""
