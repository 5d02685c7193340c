#!/bin/bash
# A node of the test cluster: to its pods it is a host of its own.
#
#   node.sh enter RUN ASSETS CLUSTER NODE ADDRESS    joins the node's cgroups, makes its namespaces, goes on with `init`
#   node.sh init RUN ASSETS CLUSTER NODE ADDRESS     the first process of the node's PID namespace
#
# The node has its own mounts, processes, network, cgroups, host name and IPC. /var/lib, /var/log, /run and /sys are
# its own; everything else is the machine's. When `init` ends, the kernel ends all processes of the node.
set -euo pipefail
step=$1; shift
run=$1 assets=$2 cluster=$3 node=$4 address=$5
own=$run/$node

enter() {
    for hierarchy in /sys/fs/cgroup/*/; do
        [ -e "$hierarchy/cgroup.procs" ] || continue
        group=$hierarchy$cluster-$node
        mkdir -p "$group"
        # A cpuset takes no process before it has CPUs and memory.
        for resource in cpuset.cpus cpuset.mems; do
            [ ! -e "$hierarchy/$resource" ] || cat "$hierarchy/$resource" > "$group/$resource"
        done
        echo $$ > "$group/cgroup.procs"
    done
    exec nsenter --net="/run/netns/$cluster-$node" unshare --mount --pid --fork --cgroup --uts --ipc bash "$0" init "$@"
}

make_mounts() {
    mount --make-rprivate /
    mount --make-rshared /            # nothing gets out, and pods may propagate mounts
    mount -t proc proc /proc
    hierarchies=$(sed -n 's/^[0-9]*:\([^:]*\):.*/\1/p' /proc/self/cgroup)
    mount -t sysfs sysfs /sys
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    for hierarchy in $hierarchies; do
        directory=/sys/fs/cgroup/${hierarchy#name=}
        mkdir -p "$directory"
        case $hierarchy in
            name=*) mount -t cgroup -o "none,$hierarchy" cgroup "$directory" ;;
            *) mount -t cgroup -o "$hierarchy" cgroup "$directory" ;;
        esac
    done
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/netns /run/lock /run/containerd
    mkdir -p /etc/cni/net.d           # stays on the machine, empty
    mkdir -p "$own"/{var-lib,var-log,cni}
    mount --bind "$own/var-lib" /var/lib
    mount --bind "$own/var-log" /var/log
    mount --bind "$own/cni" /etc/cni/net.d
    mkdir -p /var/log/pods /var/log/containers
    # The kubelet sets these, and the kernel has one of each for the whole machine: it writes to files instead.
    for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
        kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
        name=${setting%=*}
        file=/run/sysctl.${name//\//.}
        echo "${setting#*=}" > "$file"
        mount --bind "$file" "/proc/sys/$name"
    done
}

# Starts a program again whenever it ends, as systemd would.
serve() {
    local name=$1; shift
    while :; do
        "$@" >> "$run/log/$node-$name.log" 2>&1 || true
        sleep 0.2
    done &
}

init() {
    make_mounts
    hostname "$node"
    sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
    serve containerd containerd --config "$own/containerd.toml"
    until ctr version > /dev/null 2>&1; do sleep 0.05; done
    ctr -n k8s.io images import "$run/images/pause.tar" > /dev/null
    # Otherwise the kubelet looks for a cloud, for eleven seconds.
    export AWS_EC2_METADATA_DISABLED=true
    serve kubelet "$assets/kubelet" --config "$own/kubelet.json" --kubeconfig "$run/$node.kubeconfig" \
        --container-runtime remote --container-runtime-endpoint unix:///run/containerd/containerd.sock \
        --hostname-override "$node" --node-ip "$address" --root-dir /var/lib/kubelet
    serve kube-proxy "$assets/kube-proxy" --kubeconfig "$run/kube-proxy.kubeconfig" --hostname-override "$node" \
        --proxy-mode iptables --cluster-cidr 10.244.0.0/16 --conntrack-max-per-core 0 --conntrack-min 0 \
        --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0
    trap 'exit 0' TERM
    wait
}

"$step" "$@"
