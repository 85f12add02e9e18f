import type { ConfigMapFact } from "../../model/cluster-facts.ts";
import { blockOf, forwardOf, parseCorefile, type ServerBlock } from "./corefile.ts";

/** One of the cluster's DNS servers, as its ConfigMap has it. */
export interface DnsServer {
  readonly namespace: string;
  /** Of the ConfigMap with its Corefile. */
  readonly configMap: string;
  /** NodeLocal DNSCache, which asks CoreDNS for the cluster's own names only. */
  readonly isNodeCache: boolean;
  readonly blocks: readonly ServerBlock[];
  /** Its text. */
  readonly corefile: string;
  /** On which pods ask it. */
  readonly port: number;
  /** A ConfigMap from which its Corefile imports whole blocks, `*.server`. */
  readonly additions: string | undefined;
}

const CUSTOM_MAP = "coredns-custom";

/**
 * The servers that ConfigMaps describe.
 *
 * @throws When a Corefile cannot be parsed.
 */
export function dnsServers(configMaps: readonly ConfigMapFact[], clusterDomain: string): readonly DnsServer[] {
  const parts = new Map(configMaps.flatMap(({ data }) => Object.entries(data).filter(([key]) => key !== "Corefile")));
  return configMaps.flatMap(({ namespace, name, data }): readonly DnsServer[] => {
    const text = data.Corefile;
    if (text === undefined) return [];
    const blocks = parseCorefile(text, parts);
    const isNodeCache = /node-?local/.test(name);
    // NodeLocal DNSCache mounts a ConfigMap of its own.
    const imports = !isNodeCache && /^\s*import\s+\S*\*\.server\s*$/m.test(text);
    return [
      {
        namespace,
        configMap: name,
        isNodeCache,
        blocks,
        corefile: text,
        port: portOf(blocks, clusterDomain),
        additions: imports ? CUSTOM_MAP : undefined,
      },
    ];
  });
}

/** That of the block for the cluster's own names. */
function portOf(blocks: readonly ServerBlock[], clusterDomain: string): number {
  const zones = blocks.flatMap((block) => block.zones);
  return zones.find(({ name }) => name === clusterDomain)?.port ?? zones.find(({ name }) => name === "")?.port ?? 53;
}

/** Where a server sends questions for a name. */
export interface Route {
  /** It has a block of its own for the name, other than that for everything. */
  readonly isOwnBlock: boolean;
  /** Empty when it does not send them anywhere. */
  readonly to: readonly string[];
}

export function routeOf(name: string, { blocks, port }: DnsServer): Route {
  const block = blockOf(name, blocks, port);
  if (block === undefined) return { isOwnBlock: false, to: [] };
  return { isOwnBlock: block.zones.every((zone) => zone.name !== ""), to: forwardOf(name, block)?.to ?? [] };
}

/** A block that sends zones to `address`, as deploy/coredns has it, and listens on `bind` if it says where. */
export function stubBlock(zones: readonly string[], port: number, address: string, bind: readonly string[]): string {
  const bound = bind.length === 0 ? "" : `    bind ${bind.join(" ")}\n`;
  return `${zones.map((zone) => `${zone}:${port}`).join(" ")} {
${bound}    errors
    cache 30 {
        denial 9984 5
    }
    forward . ${address} {
        max_fails 0
    }
}`;
}
