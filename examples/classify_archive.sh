#!/bin/sh
# Classify every sound, picture and video of an archive by instrument, and write a CSV table.
#   usage: classify_archive.sh ARCHIVE TABLE.csv [RUN]
set -eu
archive=${1:?usage: classify_archive.sh ARCHIVE TABLE.csv [RUN]}
table=${2:?usage: classify_archive.sh ARCHIVE TABLE.csv [RUN]}

cmcgan classify --from "$archive" --csv ${3:+--checkpoint "$3"} > "$table"
