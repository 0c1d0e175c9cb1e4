#!/usr/bin/env bash
# A real SLURM of one node, this machine, for tests: scripts/slurm_node.sh start FOLDER, then stop FOLDER.
# Everything it writes is in FOLDER. Put FOLDER/bin first on PATH and set SLURM_CONF=FOLDER/slurm.conf to use it.
set -euo pipefail
action=${1:?start or stop} folder=$(realpath -m "${2:?a folder}")
PATH=$PATH:/usr/sbin

stop() {
    for name in slurmd slurmctld munged; do
        [ -f "$folder/$name.pid" ] || continue
        pid=$(cat "$folder/$name.pid")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
    done
    socket=$(sed -n 's/^AuthInfo=socket=//p' "$folder/slurm.conf")
    case $socket in /tmp/munge.*) rm -rf "$(dirname "$socket")" ;; esac
}

if [ "$action" = stop ]; then stop; exit; fi

if ! command -v slurmctld slurmd munged squeue >/dev/null; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -q=2
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q=2 -y --no-install-recommends slurm-wlm munge >/dev/null
fi

mkdir -p "$folder"/{bin,state,spool,munge}
chmod 700 "$folder/munge"
[ -f "$folder/munge/key" ] || head -c 1024 /dev/urandom >"$folder/munge/key"
chmod 400 "$folder/munge/key"
# munged wants folders above its socket that only root or its user can write to; /tmp is one that it accepts.
socket=$(mktemp -d /tmp/munge.XXXXXX)/socket
chmod 755 "$(dirname "$socket")"
me=$(id -un) memory=$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
read -r control node < <(python3 -c 'import socket
a, b = socket.socket(), socket.socket(); a.bind(("", 0)); b.bind(("", 0)); print(a.getsockname()[1], b.getsockname()[1])')
cat >"$folder/slurm.conf" <<EOF
ClusterName=test
SlurmctldHost=localhost
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
AuthInfo=socket=$socket
CredType=cred/munge
SlurmctldPort=$control
SlurmdPort=$node
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
ReturnToService=2
KillWait=5
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,sched_min_interval=0
NodeName=localhost CPUs=4 RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
EOF
# The step of a job forgets SLURM_CONF; this srun remembers it.
printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$folder/slurm.conf" "$(command -v srun)" >"$folder/bin/srun"
chmod 755 "$folder/bin/srun"

export SLURM_CONF="$folder/slurm.conf"
munged --force --key-file "$folder/munge/key" --socket "$socket" --pid-file "$folder/munged.pid" \
    --log-file "$folder/munged.log" --seed-file "$folder/munge/seed"
slurmctld -c -f "$SLURM_CONF"
slurmd -N localhost -f "$SLURM_CONF"
for _ in $(seq 100); do
    [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ] && { echo "SLURM is ready: SLURM_CONF=$SLURM_CONF"; exit; }
    sleep 0.2
done
tail -n 5 "$folder"/*.log >&2
stop
echo "Error: expected an idle SLURM node, found $(sinfo --noheader --format=%t 2>&1)." >&2
exit 1
