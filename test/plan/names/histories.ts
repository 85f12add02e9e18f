import fc from "fast-check";
import { type Service, type ServiceKey, serviceKey } from "../../../src/model/service.ts";
import type { Reading } from "../../../src/plan/catalog/catalog.ts";
import { endpoint, failed, readings, type Said, service, snapshot } from "../build.ts";
import { config } from "../memory.ts";

/** A service as its registry has it. */
export interface Line {
  readonly registry: string;
  readonly namespace: string;
  readonly name: string;
  readonly endpoints: readonly number[];
  readonly legacy: readonly string[];
  readonly alias: string | undefined;
  readonly isDenied: boolean;
}

type Edit =
  | {
      readonly kind: "rename" | "case" | "deny" | "empty" | "fill" | "drop" | "namespace" | "registry";
      readonly at: number;
      readonly n: number;
    }
  | { readonly kind: "move" | "swap" | "alias" | "steal"; readonly at: number; readonly n: number };

export interface Step {
  readonly edits: readonly Edit[];
  readonly isRestart: boolean;
  readonly moveMs: number;
  /** Every n-th write fails in a pass before the others; 0: none. */
  readonly faultEvery: number;
  /** Objects of which service finalizers keep, by its place; without it, none any more. */
  readonly keeps: number | undefined;
}

const LEGACY = ["l1.example.org", "l2.example.org", "l3.apps", "l4"];
const ALIASES = ["x1", "x2", "l3"];
const NAMES = ["a", "b", "c", "d", "e", "f", "g"];
const MINUTE_MS = 60_000;

export interface Installation {
  readonly name: string;
  readonly registries: readonly object[];
  readonly rest: object;
  /** Exposures lead to the services that have these legacy names, as an operator writes them. */
  readonly exposed?: readonly string[];
  readonly isCaseless?: true;
  readonly isMerged?: true;
  readonly isReported?: true;
}

const APART = { hosts: { template: "{service}.{namespace}.{registry}.mesh.internal" } };
/** Nothing is held back by a brake, on services or on endpoints. */
const OPEN = { policy: { keepEmpty: "1h", minDeletes: 1000, maxShrinkPercent: 100 } };
export const installations: readonly Installation[] = [
  { name: "one registry", registries: [{ name: "dc1" }], rest: { ...APART, ...OPEN } },
  {
    name: "hosts without registry and namespace",
    registries: [{ name: "dc1" }, { name: "prod" }],
    rest: { hosts: { template: "{service}.mesh.internal" }, ...OPEN },
  },
  {
    name: "merged registries",
    registries: [{ name: "dc1" }, { name: "prod" }],
    rest: { ...APART, ...OPEN, merge: ["dc1", "prod"] },
    isMerged: true,
  },
  {
    name: "services on demand",
    registries: [{ name: "dc1", demand: "reported" }, { name: "prod" }],
    rest: { ...APART, ...OPEN },
    isReported: true,
  },
  {
    name: "exposures and companions",
    registries: [{ name: "dc1", xds: true }],
    rest: { ...APART, ...OPEN },
    exposed: ["l1.example.org", "l2.example.org"],
  },
  {
    name: "brakes that hold all losses",
    registries: [{ name: "dc1" }],
    rest: { ...APART, policy: { keepEmpty: "1h", minDeletes: 0, maxDeletePercent: 1 } },
  },
  {
    name: "names without case",
    registries: [{ name: "dc1" }],
    rest: { hosts: { template: "{service}.{namespace}.mesh.internal" }, ...OPEN },
    isCaseless: true,
  },
  {
    name: "addresses of Istio's own, and upserts only",
    registries: [{ name: "dc1" }],
    rest: { ...APART, policy: { mode: "upsert-only" }, vips: { mode: "istio" }, target: { kind: "kubernetes" } },
  },
];

const kinds = [
  ...["rename", "rename", "rename", "case", "deny", "empty", "fill", "drop", "namespace", "registry"],
  ...["move", "move", "swap", "swap", "alias", "alias", "steal"],
] as const;
const edit = fc.record({
  kind: fc.constantFrom(...kinds),
  at: fc.nat({ max: 20 }),
  n: fc.nat({ max: 20 }),
}) as fc.Arbitrary<Edit>;
const STEP = {
  edits: fc.array(edit, { minLength: 1, maxLength: 3 }),
  isRestart: fc.boolean(),
  moveMs: fc.constantFrom(0, 1000, MINUTE_MS, 45 * MINUTE_MS, 90 * MINUTE_MS),
};

/** Histories in which some writes fail, finalizers keep what is deleted, both, or neither. */
export function histories({ faults, finalizers }: { readonly faults: boolean; readonly finalizers: boolean }) {
  const faultEvery = faults ? fc.constantFrom(0, 0, 0, 2, 3, 5) : fc.constant(0);
  const keeps = finalizers ? fc.option(fc.nat({ max: 10 }), { nil: undefined, freq: 2 }) : fc.constant(undefined);
  return fc.array(fc.record<Step>({ ...STEP, faultEvery, keeps }), { minLength: 1, maxLength: 10 });
}

/** What an operator or a registry does to the services. */
export function edited(
  lines: readonly Line[],
  { kind, at, n }: Edit,
  { isCaseless, registries }: Installation,
): readonly Line[] {
  const one = lines[at % lines.length];
  const other = lines[n % lines.length];
  if (one === undefined || other === undefined) return lines;
  const with1 = (fields: Partial<Line>) => lines.map((line) => (line === one ? { ...line, ...fields } : line));
  const isFree = (fields: Partial<Line>) => {
    const made = { ...one, ...fields };
    return lines.every((line) => line === one || keyOf(line).toLowerCase() !== keyOf(made).toLowerCase());
  };
  const unlessTaken = (fields: Partial<Line>) => (isFree(fields) ? with1(fields) : lines);
  const exchange = (mine: Partial<Line>, theirs: Partial<Line>) =>
    one === other
      ? lines
      : lines.map((line) => (line === one ? { ...line, ...mine } : line === other ? { ...line, ...theirs } : line));
  switch (kind) {
    case "rename":
      return unlessTaken({ name: NAMES[n % NAMES.length] ?? "a", isDenied: false });
    case "case":
      return isCaseless
        ? with1({ name: /[a-z]/.test(one.name) ? one.name.toUpperCase() : one.name.toLowerCase() })
        : lines;
    case "namespace":
      return unlessTaken({ namespace: one.namespace === "shop" ? "web" : "shop", isDenied: false });
    case "registry":
      if (registries.length === 1) return lines;
      return unlessTaken({ registry: one.registry === "dc1" ? "prod" : "dc1", isDenied: false });
    case "deny":
      return with1({ isDenied: !one.isDenied });
    case "empty":
      return with1({ endpoints: [] });
    case "fill":
      return with1({ endpoints: [1 + (n % 9), 11 + (n % 7)] });
    case "drop":
      return lines.length > 2 ? lines.filter((line) => line !== one) : lines;
    case "move":
      return exchange({ legacy: one.legacy.slice(1) }, { legacy: [...other.legacy, ...one.legacy.slice(0, 1)] });
    case "swap":
      return exchange({ legacy: other.legacy }, { legacy: one.legacy });
    case "alias":
      return exchange({ alias: other.alias }, { alias: one.alias });
    case "steal": {
      const fresh = {
        ...one,
        name: NAMES[n % NAMES.length] ?? "a",
        endpoints: n % 3 === 0 ? [] : [20 + n],
        isDenied: false,
      };
      if (!lines.every((line) => keyOf(line).toLowerCase() !== keyOf(fresh).toLowerCase())) return lines;
      return [...with1({ legacy: [], alias: undefined }), fresh];
    }
  }
}

export function keyOf({ registry, namespace, name }: Line): ServiceKey {
  return serviceKey(registry, namespace, name);
}

/** What the registries say. */
export function said(lines: readonly Line[], { registries, isCaseless }: Installation): ReadonlyMap<string, Reading> {
  const all = registries.map((one): [string, Said] => {
    const { name: registry } = one as { name: string };
    const own = lines.filter((line) => line.registry === registry);
    const services = own.map((line) => (line.isDenied ? failed(keyOf(line), "denied") : serviceOf(line)));
    const read = snapshot(registry, services);
    return [registry, { state: "read", snapshot: isCaseless ? { ...read, caseless: true } : read }];
  });
  return readings(Object.fromEntries(all));
}

function serviceOf({ registry, namespace, name, endpoints, legacy }: Line): Service {
  return service(name, {
    ...{ registry, namespace, legacyNames: legacy },
    endpoints: endpoints.map((last) => endpoint(`192.0.2.${last}`)),
  });
}

/** The key by which a service stands. */
export function standsAs(line: Line, { isMerged }: Installation): ServiceKey {
  return keyOf(isMerged ? { ...line, registry: "dc1" } : line);
}

/** The configuration that goes with the services: the operator writes alias rules and exposures by their names. */
export function settingsOf(lines: readonly Line[], installation: Installation) {
  const { registries, rest, exposed = [], isMerged } = installation;
  const aliases = lines.flatMap(({ alias, registry, namespace, name }) =>
    alias === undefined
      ? []
      : [{ registry: isMerged ? "dc1" : registry, namespace, service: name, as: alias, in: "apps" }],
  );
  const exposures = exposed.flatMap((legacy, at) => {
    const line = lines.find((one) => one.legacy.includes(legacy));
    return line === undefined
      ? []
      : [
          {
            name: `way-${at}`,
            service: standsAs(line, installation),
            gateway: "edge/public",
            hosts: [`${at}.example.com`],
          },
        ];
  });
  return config(registries as object[], { ...rest, aliases, exposures });
}

/** All that the registries say of one service. */
interface Told {
  readonly isListed: boolean;
  readonly isDenied: boolean;
  readonly endpoints: readonly string[];
}

export function toldOf(lines: readonly Line[], installation: Installation): (key: string | undefined) => Told {
  const plain = (key: string) => (installation.isCaseless ? key.toLowerCase() : key);
  const all = Map.groupBy(lines, (line) => plain(standsAs(line, installation)));
  return (key = "") => {
    const own = all.get(plain(key)) ?? [];
    const read = own.filter(({ isDenied }) => !isDenied);
    const endpoints = read.flatMap((line) => line.endpoints.map((last) => `192.0.2.${last}`));
    return { isListed: own.length > 0, isDenied: read.length < own.length, endpoints };
  };
}

export const START: readonly Line[] = [
  { name: "a", legacy: LEGACY.slice(0, 1), alias: ALIASES[0], endpoints: [1, 2] },
  { name: "b", legacy: LEGACY.slice(1, 3), alias: ALIASES[1], endpoints: [3] },
  { name: "c", legacy: LEGACY.slice(3), alias: ALIASES[2], endpoints: [4, 5] },
  { name: "d", legacy: [], alias: undefined, endpoints: [6] },
].map((one) => ({ registry: "dc1", namespace: "shop", isDenied: false, ...one }));
