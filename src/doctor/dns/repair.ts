import { shellWord } from "../text.ts";
import { type DnsServer, stubBlock } from "./servers.ts";

/** Command that gives a server a block which sends zones to `address`, beside all that it has. */
export function appendBlock(server: DnsServer, zones: readonly string[], address: string): string {
  const { namespace, configMap, port, additions, isNodeCache, blocks } = server;
  const block = stubBlock(zones, port, address, isNodeCache ? bindOf(blocks) : []);
  if (additions !== undefined)
    return `kubectl create configmap -n ${shellWord(namespace)} ${additions} --from-literal=${shellWord(`x2istio.server=${block}`)} --dry-run=client -o yaml | ${APPLY}`;
  return edit(namespace, configMap, `{ cat; echo; echo ${shellWord(block)}; }`);
}

/**
 * Command that sends these zones to `to` instead of `from`. By hand where that is no single address, or where the server sends
 * other zones there, too.
 */
export function redirectBlock(server: DnsServer, zones: readonly string[], from: string, to: string): string {
  const { namespace, configMap, blocks } = server;
  const isMeant = blocks.every(
    ({ zones: keys, plugins }) =>
      keys.every(({ name }) => zones.includes(name)) ||
      !plugins.some(({ name, args }) => name === "forward" && args.slice(1).join(" ") === from),
  );
  if (from === "" || from.includes(" ") || !isMeant)
    return `kubectl edit configmap -n ${shellWord(namespace)} ${shellWord(configMap)}, and write "forward . ${to}" in the block of ${zones.join(" and ")}`;
  const space = "[[:space:]]";
  const pattern = `^\\(${space}*forward${space}${space}*[^[:space:]]*${space}\\)${space}*${escaped(from)}\\(${space}.*\\)\\{0,1\\}$`;
  return edit(namespace, configMap, `sed ${shellWord(`s|${pattern}|\\1${to}\\2|`)}`);
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
