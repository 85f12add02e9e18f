import { addressAndPort, parseAddress } from "../../../src/istio/address.ts";
import { isPort } from "../../../src/istio/limits.ts";
import type { LeftOut } from "../../../src/model/service.ts";
import type { Intern } from "../../intern.ts";
import { usableLabels } from "../../mapping.ts";
import type { Instance, InstancePort } from "../../shapes/instance.ts";
import { bridgeMark } from "../../shapes/marks.ts";
import type { Rules } from "../../shapes/rules.ts";
import { shorten } from "../../text.ts";
import type { ZooKeeperOptions } from "../options.ts";

/** The options that say how a registration is read. */
export type MappingOptions = Pick<ZooKeeperOptions, "labels"> & { readonly rules: Rules; readonly pool: Intern };

/** What a registration says of one instance, whatever its form. Ports have names; the first is the instance's own. */
export interface Registered {
  readonly id: string;
  readonly host: string;
  readonly ports: readonly (InstancePort & { readonly name: string })[];
  readonly meta: Readonly<Record<string, string>>;
  readonly weight?: number;
  /** Why it is not called, by what it says itself. */
  readonly out?: Omit<LeftOut, "address"> | undefined;
  readonly notes: readonly string[];
  /** Of several registrations of one address, ports and all, the latest counts. */
  readonly atMs: number;
}

/** An instance with what tells the latest of its registrations. */
export interface Candidate extends Instance {
  readonly atMs: number;
}

/** An instance, or why what was registered is none of the service's own: a pod, or left out by the operator's rules. */
export type Judged = { readonly instance: Candidate } | { readonly instance?: never; readonly out: LeftOut };

/** Judge one registration. */
export function judge(one: Registered, { labels: wanted = {}, rules, pool }: MappingOptions): Judged {
  const parsed = parseAddress(one.host);
  const [own] = one.ports;
  const shown = shorten(addressAndPort(parsed.address ?? one.host, own?.number ?? 0));
  const mark = bridgeMark(one.meta);
  if (mark !== undefined) return { out: { address: shown, kind: "kubernetes", reason: mark } };
  const why = rules.whyOut({ address: parsed.address ?? "", tags: [], meta: one.meta });
  if (why !== undefined) return { out: { address: shown, kind: "filter", reason: why } };
  const notes = [...one.notes];
  const labels = usableLabels(
    Object.entries(wanted).flatMap(([key, label]) => {
      const value = Object.hasOwn(one.meta, key) ? one.meta[key] : undefined;
      return value === undefined || value === "" ? [] : [[label, value] as const];
    }),
    notes,
  );
  const unusable = whyUnusable(parsed, one.ports);
  const out = unusable ?? one.out;
  const ports = one.ports.filter(({ number }) => isPort(number));
  return {
    instance: {
      ...{ id: one.id, address: parsed.address ?? one.host, ports, tags: [], meta: one.meta, notes, atMs: one.atMs },
      ...(one.weight === undefined ? {} : { weight: one.weight }),
      ...(Object.keys(labels).length === 0 ? {} : { labels: pool.record(labels) }),
      ...(out === undefined ? {} : { out: { ...out, address: shown } }),
    },
  };
}

function whyUnusable(
  parsed: ReturnType<typeof parseAddress>,
  ports: Registered["ports"],
): Omit<LeftOut, "address"> | undefined {
  if (parsed.address === undefined) return { kind: "address", reason: `its address ${parsed.must}` };
  const bad = ports.find(({ number }) => !isPort(number));
  if (ports.length === 0 || bad !== undefined)
    return { kind: "port", reason: `its port ${bad?.number ?? 0} is invalid, 1 to 65535 are allowed` };
  return undefined;
}
