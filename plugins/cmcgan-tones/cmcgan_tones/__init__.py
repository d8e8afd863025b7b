"""An example plugin of cmcgan: a source of data, an audio representation and a method.

cmcgan prepare tones/ --source tones --representation bands --out prepared/tones
cmcgan train prepared/tones --preset tiny --set method=linear --set loss_weights.square=1
"""
