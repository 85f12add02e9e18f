import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers } from "../servers/consul.ts";
import { kubeServers } from "../servers/kube.ts";

const run = promisify(execFile);

/** Names that a mesh needs of `ensureServers`. */
export const meshServers = [
  ...kubeServers,
  ...consulServers,
  "pilot-discovery",
  "envoy",
  "redirect",
  "coredns",
  "gateway-crds",
] as const;

/** Address of everything that is not in a pod, as pods see it. */
export const NODE = "10.9.0.1";
/** The same, in IPv6. */
export const NODE_V6 = "fd00:9::1";
/** Where the cluster's DNS answers, on port 53. */
export const CLUSTER_DNS = "10.9.0.10";

const INSIDE = "X2ISTIO_TEST_NETWORK";
const NEEDS =
  "needs Linux with nftables, ip of iproute2, unshare and nsenter of util-linux, and either root with CAP_SYS_ADMIN and CAP_NET_ADMIN or the right to make user namespaces";
/** Where a sidecar takes what leaves its pod. */
const SIDECAR_PORT = 15_001;
/** SO_MARK of what a sidecar sends; Istio's own in TPROXY mode. */
export const SIDECAR_MARK = 1337;

/**
 * Makes the network, once inside: a bridge for pods, and for machines outside the cluster all addresses that are kept for
 * documentation and for benchmarks.
 * The bridge has an address of its own: else it takes that of a pod that comes later, and the others call one that is nobody's for a while.
 * A route of type "local" lets a server listen on any IPv4 address of its range; in IPv6 there are 2001:db8::1 to ::4.
 */
const SETUP = `
mount -t tmpfs mesh /run
mkdir /run/netns
ip link set lo up
ip link add mesh address 02:00:0a:09:00:01 type bridge
ip addr add ${NODE}/16 dev mesh
ip addr add ${CLUSTER_DNS}/32 dev mesh
ip link set mesh up
for range in 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 198.18.0.0/15; do ip route add local $range dev lo; done
if [ -e /proc/net/if_inet6 ]; then
  for off in all default lo mesh; do echo 0 2>/dev/null > /proc/sys/net/ipv6/conf/$off/disable_ipv6 || true; done
  ip addr add ${NODE_V6}/64 dev mesh nodad
  for last in 1 2 3 4; do ip addr add 2001:db8::$last/128 dev lo nodad; done
fi
exec "$@"`;

/**
 * Go on in a network namespace of this process's own, as another program of the same process id that runs the same file: a
 * call to a VIP can then be led to a sidecar as in a pod, ports are free, and all is gone with the last process.
 *
 * Call it before all else in a test file.
 *
 * @returns Why the file's tests are to be skipped, or `false`.
 * @throws With CI=true instead of giving a reason.
 */
export async function ownNetwork(): Promise<string | false> {
  if (process.env[INSIDE] !== undefined) return false;
  const paths = await ensureServers(meshServers);
  if (paths === undefined) return noServers;
  const asRoot = process.getuid?.() === 0 ? [] : ["--map-root-user"];
  const command = ["unshare", ...asRoot, "--net", "--mount", "sh", "-ec", SETUP, "sh"];
  try {
    await run("env", [...command, paths.redirect, String(SIDECAR_PORT), String(SIDECAR_MARK)]);
  } catch (error) {
    const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
    const reason = `this machine gives it no network of its own (${NEEDS}): ${(stderr || message).trim()}`;
    if (process.env.CI === "true") throw new Error(`Cannot run the mesh tests: ${reason}`);
    return reason;
  }
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  if (process.execve === undefined) throw new Error("Cannot replace this process: needs Node >= 24");
  return process.execve("/usr/bin/env", ["env", ...command, ...self], {
    ...process.env,
    [INSIDE]: "1",
  } as NodeJS.Dict<string>);
}

/** Why tests of IPv6 are to be skipped here, or `false`. @throws With CI=true instead of giving a reason. */
export function noIpv6(): string | false {
  if (existsSync("/proc/net/if_inet6")) return false;
  if (process.env.CI === "true") throw new Error("Cannot run the tests of IPv6: this kernel has none");
  return "this kernel has no IPv6";
}

/** A network namespace on the bridge. */
export interface PodNetwork {
  /** 10.9.1.0/24 */
  readonly address: string;
  readonly addressV6: string;
  /** Words before those of a command that is to run in it. */
  readonly enter: readonly string[];
}

/** Give the pod of this name, which must be a DNS label, its network. `index` is from 1 to 250. */
export async function podNetwork(name: string, index: number): Promise<PodNetwork> {
  const address = `10.9.1.${index}`;
  const addressV6 = `fd00:9::1:${index}`;
  const hasV6 = existsSync("/proc/net/if_inet6");
  const enter = ["nsenter", `--net=/run/netns/${name}`, "--"];
  await ip(
    `netns add ${name}`,
    `link add pod${index} type veth peer name eth0 netns ${name}`,
    `link set pod${index} master mesh up`,
  );
  await ip(
    `-n ${name} link set lo up`,
    `-n ${name} addr add ${address}/16 dev eth0`,
    `-n ${name} link set eth0 up`,
    `-n ${name} route add default via ${NODE}`,
    ...(hasV6
      ? [`-n ${name} addr add ${addressV6}/64 dev eth0 nodad`, `-n ${name} -6 route add default via ${NODE_V6}`]
      : []),
  );
  return { address, addressV6, enter };
}

/** Words before those of a command that is to run in a pod, with this file as its /etc/resolv.conf. */
export function inPod({ enter }: PodNetwork, resolvConf: string): readonly string[] {
  // The file may be a link to one that is not there: then it is made, in this process's own /run.
  const mount =
    'to=$(readlink -f /etc/resolv.conf); mkdir -p "${to%/*}"; [ -e "$to" ] || : > "$to"; mount --bind "$1" "$to"';
  return [...enter, "unshare", "--mount", "sh", "-ec", `${mount}; shift; exec "$@"`, "sh", resolvConf];
}

/** A pod's /etc/resolv.conf, with this DNS server. */
export function resolvConf(namespace: string, nameserver: string): string {
  return `search ${namespace}.svc.cluster.local svc.cluster.local cluster.local\nnameserver ${nameserver}\noptions ndots:5\n`;
}

/** Where the /etc/resolv.conf of a pod is kept: that of its program and of its proxy. */
export function resolvConfOf(dir: string, name: string): string {
  return join(dir, `${name}.resolv.conf`);
}

async function ip(...commands: readonly string[]): Promise<void> {
  for (const command of commands) await run("ip", command.split(" "));
}

/** Take the network of a pod away, once no process is left in it. */
export async function dropPodNetwork(name: string): Promise<void> {
  await ip(`netns delete ${name}`);
}

/** What leaves the pod by TCP goes to its sidecar instead, unless it is marked as the sidecar's own or goes to an `excluded` address. */
export async function redirectToSidecar(
  network: PodNetwork,
  redirect: string,
  ...excluded: readonly string[]
): Promise<void> {
  const [command = "", ...words] = network.enter;
  await run(command, [...words, redirect, String(SIDECAR_PORT), String(SIDECAR_MARK), ...excluded]);
  // A VIP that a sidecar does not know is nobody's: say so at once, rather than let it wait for an answer.
  await run(command, [
    ...words,
    "ip",
    "rule",
    "add",
    "fwmark",
    String(SIDECAR_MARK),
    "to",
    "240.0.0.0/4",
    "unreachable",
  ]);
}
