#!/bin/sh
# fabric-backup as a peer of bench-peers: the server runs already, and what is timed is from the POST until a client sees Success.
#
#   fabric-backup.sh init|backup|restore
#
# FABRIC_BACKUP: the release binary. $SRC, $REPO, $DST, $PIDS: see bench-peers. The partition's state is $SRC; a second one, whose
# state is $DST, is what the restore goes to: the same service hosts both.
set -eu
SOURCE=5f1a9c52-0000-4000-8000-000000000001
TARGET=5f1a9c52-0000-4000-8000-000000000002
HOME_DIR=$HOME/fabric-backup

config() {
  cat <<TOML
data_dir = "$HOME_DIR/data"
listen = "127.0.0.1:0"

[file_share]
roots = ["$REPO"]

[backup_storage]
storage_kind = "FileShare"
path = "$REPO"

[[applications]]
name = "fabric:/Bench"

$(service Source $SOURCE "$SRC")

$(service Target $TARGET "$DST")
TOML
}

service() { # NAME PARTITION STATE
  cat <<TOML
[[applications.services]]
name = "fabric:/Bench/$1"
kind = "stateful"

[[applications.services.partitions]]
id = "$2"
kind = "Singleton"
source = { directory = "$3" }
TOML
}

init() {
  mkdir -p "$REPO" "$DST" "$HOME_DIR"
  config >"$HOME_DIR/config.toml"
  "$FABRIC_BACKUP" serve --config "$HOME_DIR/config.toml" >"$HOME_DIR/out" 2>"$HOME_DIR/log" &
  echo $! >"$PIDS"
  until grep -q 'listens on' "$HOME_DIR/out"; do
    kill -0 "$(cat "$PIDS")" || { cat "$HOME_DIR/log" >&2; exit 1; }
    sleep 0.1
  done
  sed -n 's/^fabric-backup listens on //p' "$HOME_DIR/out" >"$HOME_DIR/server"
  chain
}

# Only a policy has chains. Its schedule is suspended, so that nothing runs but what is asked for.
chain() {
  SERVER=$(cat "$HOME_DIR/server")
  send "BackupRestore/BackupPolicies/\$/Create" '{"Name": "bench", "AutoRestoreOnDataLoss": false, "MaxIncrementalBackups": 255,
    "Schedule": {"ScheduleKind": "FrequencyBased", "Interval": "P15D"},
    "Storage": {"StorageKind": "FileShare", "Path": "'"$REPO"'"}}'
  send "Partitions/$SOURCE/\$/EnableBackup" '{"BackupPolicyName": "bench"}'
  send "Partitions/$SOURCE/\$/SuspendBackup" ''
}

send() { # PATH BODY
  curl -sSf -X POST -H 'Content-Type: application/json' -d "$2" "$SERVER/$1?api-version=6.4&Incremental=true&BackupTimeout=60&RestoreTimeout=60"
}

post() { # PARTITION OPERATION BODY
  send "Partitions/$1/\$/$2" "$3"
}

follow() { # PARTITION OPERATION: until the end, which must be Success
  curl -sSfN -H 'Accept: text/event-stream' "$SERVER/Partitions/$1/\$/$2?api-version=6.4" | tail -n 3 | grep -q '"Success"'
}

latest() { # the backup to restore, as the body of a restore wants it
  curl -sSf "$SERVER/Partitions/$SOURCE/\$/GetBackups?api-version=6.4&Latest=true" |
    grep -oE '"(BackupId|BackupLocation)":"[^"]*"' | paste -sd, | sed 's/.*/{&}/'
}

[ "$1" = init ] || SERVER=$(cat "$HOME_DIR/server")
case $1 in
  init) init ;;
  backup) post $SOURCE Backup '{}' && follow $SOURCE GetBackupProgress ;;
  restore) post $TARGET Restore "$(latest)" && follow $TARGET GetRestoreProgress ;;
esac
