"""The built-in demonstration set: thirteen instruments, with sounds and pictures rendered on demand.

Everything is synthesised and drawn, so nothing has to be downloaded and no licence applies. It is a toy compared with
real recordings: the sounds come from a source-filter model, and the players are cartoons. But it has what cross-modal
generation needs: the picture shows the instrument that sounds, and the player's pose follows the note.
"""

from cmcgan_core.data.synthetic.source import DEMO_CLASSES, DemoSource

__all__ = ["DEMO_CLASSES", "DemoSource"]
