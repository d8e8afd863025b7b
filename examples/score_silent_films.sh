#!/bin/sh
# Generate a soundtrack for every silent film below a folder. Films with sound are named as errors and left out.
#   usage: score_silent_films.sh FILMS OUT [RUN]
set -eu
films=${1:?usage: score_silent_films.sh FILMS OUT [RUN]}
out=${2:?usage: score_silent_films.sh FILMS OUT [RUN]}

find "$films" -type f \( -name '*.mp4' -o -name '*.mkv' -o -name '*.avi' -o -name '*.mov' -o -name '*.webm' \) -print0 |
    cmcgan generate --from - --out "$out" ${3:+--checkpoint "$3"}
