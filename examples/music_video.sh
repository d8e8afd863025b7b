#!/bin/sh
# Make a film whose frames follow a piece of music, with this music as its sound.
#   usage: music_video.sh MUSIC OUT.mp4 [RUN]
set -eu
music=${1:?usage: music_video.sh MUSIC OUT.mp4 [RUN]}
film=${2:?usage: music_video.sh MUSIC OUT.mp4 [RUN]}

# 25 frames per second. The scene changes slowly, into a new one every eight seconds.
cmcgan generate --from "$music" --out "$film" --format mp4 --fps 25 --drift 8 --size 512 ${3:+--checkpoint "$3"}
