import type { Finding } from "../finding.ts";
import { shellWord } from "../text.ts";
import { diffOf } from "./diff.ts";
import { type DnsServer, stubBlock } from "./servers.ts";

/** How a server's configuration is changed: the change, to be reviewed, and the commands that keep what stands and make it. */
export type Repair = Required<Pick<Finding, "fix">> & Pick<Finding, "diff">;

/** Stands for the address of a Service that is not there yet. */
const UNKNOWN_ADDRESS = "CLUSTER-IP-OF-X2ISTIO";

/** Before the installation: what will have to be changed after it. */
export function laterBlock(server: DnsServer, zones: readonly string[], install: string): Repair {
  const { diff } = appendBlock(server, zones, UNKNOWN_ADDRESS);
  return { fix: install, ...(diff === undefined ? {} : { diff }) };
}

/** Give a server a block which sends zones to `address`, beside all that it has. */
export function appendBlock(server: DnsServer, zones: readonly string[], address: string): Repair {
  const { namespace, configMap, port, additions, isNodeCache, blocks, corefile } = server;
  const block = stubBlock(zones, port, address, isNodeCache ? bindOf(blocks) : []);
  if (additions !== undefined)
    return {
      diff: diffOf(`${namespace}/${additions} x2istio.server`, "", block),
      fix: `${backup(namespace, additions)} && ${addPart(namespace, additions, block)}`,
    };
  return {
    diff: diffOf(`${namespace}/${configMap} Corefile`, corefile, `${corefile.replace(/\n$/, "")}\n\n${block}\n`),
    fix: `${backup(namespace, configMap)} && ${edit(namespace, configMap, `{ cat; echo; echo ${shellWord(block)}; }`)}`,
  };
}

function addPart(namespace: string, additions: string, block: string): string {
  return `kubectl create configmap -n ${shellWord(namespace)} ${additions} --from-literal=${shellWord(`x2istio.server=${block}`)} --dry-run=client -o yaml | ${APPLY}`;
}

/** Keep what stands: `kubectl replace --force -f` brings it back. One that is not there yet leaves an empty file. */
function backup(namespace: string, configMap: string): string {
  return `kubectl get configmap -n ${shellWord(namespace)} ${shellWord(configMap)} --ignore-not-found -o yaml > "${configMap}-backup-$(date +%s).yaml"`;
}

/**
 * Send these zones to `to` instead of `from`. By hand where that is no single address, or where the server sends
 * other zones there, too.
 */
export function redirectBlock(server: DnsServer, zones: readonly string[], from: string, to: string): Repair {
  const { namespace, configMap, blocks, corefile } = server;
  const isMeant = blocks.every(
    ({ zones: keys, plugins }) =>
      keys.every(({ name }) => zones.includes(name)) ||
      !plugins.some(({ name, args }) => name === "forward" && args.slice(1).join(" ") === from),
  );
  if (from === "" || from.includes(" ") || !isMeant)
    return {
      fix: `kubectl edit configmap -n ${shellWord(namespace)} ${shellWord(configMap)}, and write "forward . ${to}" in the block of ${zones.join(" and ")}`,
    };
  const space = "[[:space:]]";
  const pattern = `^\\(${space}*forward${space}${space}*[^[:space:]]*${space}\\)${space}*${escaped(from)}\\(${space}.*\\)\\{0,1\\}$`;
  const command = edit(namespace, configMap, `sed ${shellWord(`s|${pattern}|\\1${to}\\2|`)}`);
  const after = corefile.replace(forwardTo(from), (_, before: string, behind = "") => `${before}${to}${behind}`);
  return {
    diff: diffOf(`${namespace}/${configMap} Corefile`, corefile, after),
    fix: `${backup(namespace, configMap)} && ${command}`,
  };
}

/** Lines that forward to one address alone; what sed changes by the same pattern. */
function forwardTo(from: string): RegExp {
  return new RegExp(
    `^([^\\S\\n]*forward[^\\S\\n]+\\S*[^\\S\\n])[^\\S\\n]*${from.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}([^\\S\\n].*)?$`,
    "gm",
  );
}

// Only the Corefile becomes ours, whatever else the ConfigMap has.
const APPLY = "kubectl apply --server-side --force-conflicts -f -";

/** Lead the Corefile through a filter. */
function edit(namespace: string, configMap: string, filter: string): string {
  const map = `configmap -n ${shellWord(namespace)} ${shellWord(configMap)}`;
  const read = `kubectl get ${map} -o 'jsonpath={.data.Corefile}'`;
  return `${read} | ${filter} | kubectl create ${map} --from-file=Corefile=/dev/stdin --dry-run=client -o yaml | ${APPLY}`;
}

/** Addresses on which the node cache listens: each of its blocks has to say so. */
function bindOf(blocks: DnsServer["blocks"]): readonly string[] {
  return blocks.flatMap(({ plugins }) => plugins).find(({ name }) => name === "bind")?.args ?? [];
}

function escaped(text: string): string {
  return text.replace(/[.*[\]^$\\|]/g, "\\$&");
}
