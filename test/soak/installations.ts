import { config } from "../plan/memory.ts";
import type { Kind } from "./steps.ts";

/** One way to run the product, and what happens only there. */
export interface Installation {
  readonly name: string;
  readonly settings: ReturnType<typeof config>;
  /** Further kinds of steps, with how often they happen. */
  readonly kinds: Readonly<Partial<Record<Kind, number>>>;
  /** Registries that compare names without case. */
  readonly caseless?: readonly string[];
}

const dc1 = { name: "dc1", poll: "*/30 * * * * *", legacyNames: ["{service}.old.example.org"] };
const prod = { name: "prod", poll: "*/30 * * * * *" };
/** Clocks are short, so that what rests is wanted. */
const rest = {
  hosts: { template: "{service}.{namespace}.{registry}.mesh.internal" },
  aliases: [
    { registry: "dc1", as: "{service}", in: "shop" },
    { registry: "prod", as: "{service}-p", in: "shop" },
  ],
  policy: { keepEmpty: "60s" },
  target: { kind: "kubernetes", namespace: "mesh-services" },
  dns: { ttl: "30s" },
};
/** VIPs are few. */
const vips = { ranges: ["10.9.0.0/28"], quarantine: "60s" };

export const PLAIN: Installation = { name: "plain", settings: config([dc1, prod], { ...rest, vips }), kinds: {} };

/** In turn by the seed: nothing special, services that move in and others that run on demand, VIPs that Istio gives, names that move. */
const INSTALLATIONS: readonly Installation[] = [
  PLAIN,
  {
    name: "claims and demand",
    settings: config([dc1, { ...prod, demand: "reported" }], {
      ...{ ...rest, vips },
      migration: { allow: [{ registry: "dc1", by: ["shop"] }], retireAfter: "60s" },
    }),
    kinds: { claim: 14, retire: 5, ask: 6 },
  },
  { name: "Istio's VIPs", settings: config([dc1, prod], { ...rest, vips: { mode: "istio" } }), kinds: {} },
  {
    name: "names that move",
    settings: config([dc1, prod], { ...rest, vips }),
    kinds: { spelling: 6, rename: 8, moveName: 12, halve: 8 },
    caseless: ["dc1"],
  },
];

export function installationOf(seed: number): Installation {
  return INSTALLATIONS[seed % INSTALLATIONS.length] ?? PLAIN;
}
