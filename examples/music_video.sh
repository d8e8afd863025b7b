#!/bin/sh
# Make a film that follows a piece of music and carries it.
#   usage: music_video.sh MUSIC OUT.mp4 [RUN]
set -eu
music=${1:?usage: music_video.sh MUSIC OUT.mp4 [RUN]}
film=${2:?usage: music_video.sh MUSIC OUT.mp4 [RUN]}

# 25 pictures a second; every eight seconds the scene has turned into another one.
cmcgan generate --from "$music" --out "$film" --format mp4 --fps 25 --drift 8 --size 512 ${3:+--checkpoint "$3"}
