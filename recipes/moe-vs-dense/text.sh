#!/bin/sh
# Makes the text that text.toml and text-moe.toml read: 81 MB of English from Debian 12's packages (after `apt-get
# update`), a dictionary and the manuals of Linux, Python and Perl, as runs/text/train.txt, and every sixty-fourth piece
# of 64 KB as held_out.txt.
#
#   recipes/moe-vs-dense/text.sh             runs/text of this repository, where text.toml looks
#   recipes/moe-vs-dense/text.sh FOLDER      elsewhere: then change the paths of text.toml
#
# Nothing is installed: the packages are downloaded, unpacked beside the result and removed.
set -eu
folder=${1:-$(dirname "$0")/../../runs/text}
mkdir -p "$folder"
parts=$(mktemp -d "$folder/parts.XXXXXX")
trap 'rm -rf "$parts"' EXIT
trap 'exit 130' INT TERM
(cd "$parts" && apt-get -q -o APT::Sandbox::User=root download linux-doc-6.1 dict-gcide python3.11-doc perl-doc)
for package in "$parts"/*.deb; do dpkg-deb -x "$package" "$parts"; done

texts() { find "$parts/usr/share" -path "$1" -not -path '*/translations/*' -type f -print0 | LC_ALL=C sort -z | xargs -0 cat; }
{
  zcat "$parts/usr/share/dictd/gcide.dict.dz"
  texts '*/_sources/*.rst.txt'
  texts '*.pod'
} | iconv -c -f UTF-8 -t UTF-8 | LC_ALL=C awk -v train="$parts/train.txt" -v held_out="$parts/held_out.txt" '
  { print > (int(bytes / 65536) % 64 == 63 ? held_out : train); bytes += length + 1 }'
mv "$parts/train.txt" "$parts/held_out.txt" "$folder"
ls -l "$folder"/*.txt
