#!/bin/sh
# Say of every sound, picture and video of an archive which instrument is played, as a table for a spreadsheet.
#   usage: classify_archive.sh ARCHIVE TABLE.csv [RUN]
set -eu
archive=${1:?usage: classify_archive.sh ARCHIVE TABLE.csv [RUN]}
table=${2:?usage: classify_archive.sh ARCHIVE TABLE.csv [RUN]}

cmcgan classify --from "$archive" --csv ${3:+--checkpoint "$3"} > "$table"
