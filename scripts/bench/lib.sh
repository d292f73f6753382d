# Used by bench-peers: makes the measurements repeatable on a small shared virtual machine.
busy() { awk '/^cpu /{print ($2+$3+$4+$7+$8+$9)/100}' /proc/stat; }         # CPU seconds used, whole machine
quiet() { # wait (at most $1 s) until the other processes used under 10 % of the machine for 2 s
  local i b ok=0
  for ((i = 0; i < $1 && ok < 2; i++)); do
    b=$(busy); sleep 1
    awk -v a="$b" -v b="$(busy)" -v n="$(nproc)" 'BEGIN{exit b-a > n*.1}' && ok=$((ok + 1)) || ok=0
  done
}
warm() { for d; do [[ -e $d ]] && find "$d" -type f -print0 | xargs -0 -r cat >/dev/null; done; }
hold() { # see holdmem.py; the first call starts it
  [[ -d /sys/module/page_reporting ]] || return 0
  if [[ ! ${HOLD_PID:-} ]]; then
    coproc HOLD { exec python3 "$HERE/holdmem.py"; }
    trap 'kill $HOLD_PID; wait' EXIT
  fi
  echo >&"${HOLD[1]}"; read -r _ <&"${HOLD[0]}" || { echo "holdmem.py ended" >&2; exit 1; }
}
