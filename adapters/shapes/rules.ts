import { z } from "zod";
import { droppedLabel } from "../../src/istio/labels.ts";
import { isPortName, protocolOf } from "../../src/istio/limits.ts";
import { lowerCase } from "../../src/istio/lower-case.ts";
import { rangeOf, within } from "../../src/istio/ranges.ts";
import { checkedText } from "../fields.ts";
import { nameFilter } from "../globs.ts";
import { isDistinct } from "../options.ts";

const text = z.string().min(1);
const portNumber = z.int().min(1).max(65535);
const protocol = checkedText(
  "must be a protocol that Istio knows, such as http, grpc or tcp, or metaprotocol-<name>",
  (value) => protocolOf(value) !== undefined,
).transform((value) => protocolOf(value) ?? value);
const service = text.default("*");

/** `key=value`, `key!=value`, `key` (has it) or `!key` (has it not). */
const metaTest = checkedText(
  "must be key=value, key!=value, key or !key",
  (value) => /^!?[^=!\s][^=]*$/.test(value) || /^[^=!\s][^=]*=/s.test(value),
);

const condition = z
  .strictObject({
    /** All that are given must hold. */
    cidr: checkedText(
      "must be an address range, such as 10.0.0.0/8",
      (value) => rangeOf(value) !== undefined,
    ).optional(),
    tag: text.optional(),
    meta: z.union([metaTest.transform((one) => [one]), z.array(metaTest).min(1)]).optional(),
  })
  .refine((one) => Object.keys(one).length > 0, "must have cidr, tag or meta");

const portRule = z
  .strictObject({
    service,
    tag: text.optional(),
    meta: metaTest.optional(),
    registered: portNumber.optional(),
    number: portNumber.optional(),
    name: checkedText(
      "must be a DNS label: a–z, 0–9 and -, at most 30 characters",
      (value) => value.length <= 30 && isPortName(value),
    ).optional(),
    protocol: protocol.optional(),
    also: z.array(portNumber).max(16).default([]),
  })
  .refine(
    ({ service: _, also, ...rest }) => also.length > 0 || Object.keys(rest).length > 0,
    "must say of which instances it is (tag, meta or registered) or what their port is (number, name, protocol or also)",
  );

/**
 * Options that say how registrations are read, the same for every registry whose registrants write them; see adapters/README.md.
 */
export const ruleFields = {
  ports: z.array(portRule).default([]),
  protocols: z.array(z.strictObject({ service, protocol })).default([]),
  instances: z
    .strictObject({ include: z.array(condition).min(1).optional(), exclude: z.array(condition).default([]) })
    .prefault({}),
  labels: z
    .record(
      text,
      checkedText("must be a label's key as Kubernetes has it", (key) => droppedLabel(key, "") === undefined),
    )
    .refine((labels) => isDistinct(Object.values(labels)), "must not give one label twice")
    .optional(),
};

/** The options of {@link ruleFields} with their defaults filled in. */
export interface RuleOptions {
  readonly ports: readonly z.output<typeof portRule>[];
  readonly protocols: z.output<typeof ruleFields.protocols>;
  readonly instances: z.output<typeof ruleFields.instances>;
}

/** What an instance is judged by. */
export interface Facts {
  /** Canonical text; empty where it has none. */
  readonly address: string;
  readonly tags: readonly string[];
  readonly meta: Readonly<Record<string, string>>;
}

/** A rule for ports, and how people find it: `ports[0]`. */
export interface PortRule extends Omit<z.output<typeof portRule>, "service"> {
  readonly place: string;
}

/** The rules that are for one service. */
export interface ServiceRules {
  /** Those that tell ports apart, in order. */
  readonly apart: readonly PortRule[];
  /** What the port of all others is. */
  readonly rest: PortRule | undefined;
  /** Of ports whose protocol nobody states. */
  readonly protocol: string | undefined;
}

/** The operator's rules for one registry. */
export interface Rules {
  of(service: string): ServiceRules;
  /** Why an instance is left out; reads on from "out". */
  whyOut(facts: Facts): string | undefined;
}

/** Compile the rules. @param isCaseless whether names of services are compared without case */
export function compileRules({ ports, protocols, instances }: RuleOptions, isCaseless = false): Rules {
  const glob = (pattern: string) => {
    const test = nameFilter({ include: [isCaseless ? lowerCase(pattern) : pattern], exclude: [] });
    return (name: string) => test(isCaseless ? lowerCase(name) : name);
  };
  const portRules = ports.map(({ service: pattern, ...rule }, at) => ({
    fits: glob(pattern),
    rule: { ...rule, place: `ports[${at}]` } satisfies PortRule,
  }));
  const defaults = protocols.map((one) => ({ fits: glob(one.service), protocol: one.protocol }));
  const include = instances.include?.map(conditionTest);
  const exclude = instances.exclude.map(conditionTest);
  const known = new Map<string, ServiceRules>();
  return {
    of(name) {
      const before = known.get(name);
      if (before !== undefined) return before;
      const own = portRules.filter(({ fits }) => fits(name)).map(({ rule }) => rule);
      const made: ServiceRules = {
        apart: own.filter(tellsApart),
        rest: own.find((rule) => !tellsApart(rule)),
        protocol: defaults.find(({ fits }) => fits(name))?.protocol,
      };
      if (known.size < MOST_KNOWN) known.set(name, made);
      return made;
    },
    whyOut(facts) {
      const at = exclude.findIndex((test) => test(facts));
      if (at >= 0) return `instances.exclude[${at}] of the registry leaves it out`;
      return include?.some((test) => test(facts)) === false
        ? "instances.include of the registry has it not"
        : undefined;
    },
  };
}

const MOST_KNOWN = 20_000;

function tellsApart({ tag, meta, registered }: PortRule): boolean {
  return tag !== undefined || meta !== undefined || registered !== undefined;
}

/** Whether a rule is for an instance that registered this port number. */
export function ruleFits({ tag, meta, registered }: PortRule, facts: Omit<Facts, "address">, number: number): boolean {
  if (registered !== undefined && registered !== number) return false;
  if (tag !== undefined && !facts.tags.includes(tag)) return false;
  return meta === undefined || fitsMeta(meta, facts.meta);
}

/** The rule for an instance that registered this port number: the first that tells it apart, else the one for the rest. */
export function portRuleFor(
  { apart, rest }: ServiceRules,
  facts: Omit<Facts, "address">,
  number: number,
): PortRule | undefined {
  return apart.find((rule) => ruleFits(rule, facts, number)) ?? rest;
}

function conditionTest({ cidr, tag, meta }: z.output<typeof condition>): (facts: Facts) => boolean {
  const isIn = cidr === undefined ? undefined : within([cidr]);
  return (facts) =>
    isIn?.(facts.address) !== false &&
    (tag === undefined || facts.tags.includes(tag)) &&
    (meta ?? []).every((one) => fitsMeta(one, facts.meta));
}

function fitsMeta(test: string, meta: Facts["meta"]): boolean {
  const [, key = "", sign = "", wanted = ""] = /^([^=]*?)(!?=)(.*)$/s.exec(test) ?? [];
  if (sign === "=") return Object.hasOwn(meta, key) && meta[key] === wanted;
  if (sign === "!=") return !Object.hasOwn(meta, key) || meta[key] !== wanted;
  return test.startsWith("!") ? !Object.hasOwn(meta, test.slice(1)) : Object.hasOwn(meta, test);
}
