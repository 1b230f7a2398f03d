"""Qt, for Slicer's pages: the job panel that the modules share, model cards as text, dependencies at the first click."""
