import type { NameRow, NameTable } from "../../src/model/name-table.ts";

/** The zone that all servers of the comparison have. */
export const ZONE = "mesh.internal";

/** Name and address of one service of the comparison. */
export function service(n: number): { readonly name: string; readonly address: string } {
  return { name: `svc-${n}.ns-${n % 50}.dc1.${ZONE}`, address: `240.241.${(n >> 8) & 255}.${n & 255}` };
}

/** The same services as a name table, with `moved` at an address of its own. */
export function nameTable(count: number): NameTable {
  const names = new Map<string, NameRow>();
  for (let n = 0; n < count; n++) {
    const { name, address } = service(n);
    names.set(name, { name, host: name, a: [address], aaaa: [], settledAtMs: 0 });
  }
  const parents = new Set([ZONE, "internal", `dc1.${ZONE}`]);
  for (let n = 0; n < 50; n++) parents.add(`ns-${n}.dc1.${ZONE}`);
  return { names, parents, serial: 1 };
}

/** A hosts file, for CoreDNS. */
export function hostsFile(count: number): string {
  return Array.from({ length: count }, (_, n) => `${service(n).address} ${service(n).name}\n`).join("");
}

/** A zone file, for CoreDNS and NSD. */
export function zoneFile(count: number): string {
  const soa = "@ 5 IN SOA @ nobody.invalid. 1 3600 1200 604800 5\n@ 30 IN NS @\n@ 30 IN A 192.0.2.53\n";
  const rows = Array.from({ length: count }, (_, n) => `${service(n).name}. 30 IN A ${service(n).address}\n`);
  return `$ORIGIN ${ZONE}.\n${soa}${rows.join("")}`;
}

/** Questions for dnsperf, in an order that follows no table's. */
export function questions(count: number, kind: "hits" | "mixed" | "case"): string {
  const lines = Array.from({ length: count }, (_, index) => {
    const n = (index * 7919) % count;
    const { name } = service(n);
    if (kind === "mixed" && index % 10 === 0) return `no-${name} A\n`;
    return `${kind === "case" ? randomCase(name, n) : name} A\n`;
  });
  return lines.join("");
}

function randomCase(name: string, seed: number): string {
  return [...name].map((letter, at) => ((seed * 31 + at * 17) % 3 === 0 ? letter.toUpperCase() : letter)).join("");
}
