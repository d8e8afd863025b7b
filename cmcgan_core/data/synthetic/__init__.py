"""The embedded demonstration set: performances of thirteen instruments, heard and seen, rendered on the spot.

Everything is synthesised and drawn, so there is nothing to download and no licence to observe. It is a toy beside real
recordings: the sounds are those of a source-filter model and the players are cartoons. What it keeps of the real thing
is what cross-modal generation needs: the picture shows the instrument that is heard, and its pose follows the note.
"""

from cmcgan_core.data.synthetic.source import DEMO_CLASSES, DemoSource

__all__ = ["DEMO_CLASSES", "DemoSource"]
