#!/bin/sh
# Put sound to every silent film below a folder; films that have a sound already are named and left out.
#   usage: score_silent_films.sh FILMS OUT [RUN]
set -eu
films=${1:?usage: score_silent_films.sh FILMS OUT [RUN]}
out=${2:?usage: score_silent_films.sh FILMS OUT [RUN]}

find "$films" -type f \( -name '*.mp4' -o -name '*.mkv' -o -name '*.avi' -o -name '*.mov' -o -name '*.webm' \) -print0 |
    cmcgan generate --from - --out "$out" ${3:+--checkpoint "$3"}
