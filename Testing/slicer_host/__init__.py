"""Stand-ins for what the `slicer-core` wheel lacks of the 3D Slicer application, so that modules run and are tested without it.

MRML, VTK and `slicer.util` are Slicer's own compiled code. Stand-ins are: the application object (`application.py`), Qt with
PythonQt's habits, ctk and qMRML widgets (`pythonqt.py`), the base classes of scripted modules (`scripted.py`), the parameter
node wrapper (`parameters.py`) and Sample Data (`sample_data.py`). `signatures.py` lists what the real classes offer: anything
else fails here as it would in Slicer. `host.install()` puts all of them in place.
"""
