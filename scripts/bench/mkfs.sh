#!/bin/sh
# Mount a private journaled ext4 (a 16 GiB image) at $BENCH_DIR/mnt, for bench-peers to work in. Needs root.
# Why: this machine's root file system is ext4 WITHOUT a journal. There the kernel skips inodes deleted in
# the last minutes one by one (recently_deleted), so whoever creates many files after a large delete pays
# up to 1 ms per file: a tool's figure would depend on which tool ran, and was cleaned up, before it.
set -eu
BASE=${BENCH_DIR:-${TMPDIR:-/tmp}/backup-bench}; IMG=$BASE/fs.img
mountpoint -q "$BASE/mnt" && exit 0
mkdir -p "$BASE/mnt"
if [ ! -f "$IMG" ]; then
  dd if=/dev/zero of="$IMG" bs=4M count=4096 conv=fdatasync status=none   # written out: no allocation later
  mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 -N 2000000 "$IMG"
fi
mount -o noatime "$(losetup -f --show --direct-io=on "$IMG")" "$BASE/mnt"
