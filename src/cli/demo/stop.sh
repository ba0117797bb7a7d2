#!/bin/sh
# Stops the server of this demo, and no other, and removes the demo's folder.
set -eu
folder={folder}
pid={pid}
# The number may be another process's by now: only one that serves this folder is meant.
ours() {
    { tr '\0' ' ' <"/proc/$pid/cmdline" || ps -p "$pid" -o args=; } 2>/dev/null | grep -qF -- "$folder/pg/data"
}
if ours; then
    kill -QUIT "$pid"
    tries=0
    while ours && [ "$tries" -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
fi
rm -rf -- "$folder"
echo "stopped the demo's server and removed $folder"
