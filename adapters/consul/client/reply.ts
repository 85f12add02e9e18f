import { ReadError } from "../../../src/errors.ts";
import type { Parser } from "../../parse.ts";
import { parseJson } from "../../read-json.ts";

type Texts = Readonly<Record<string, string>>;

/** The fields of an instance that are used, of `/v1/health/service/:name`. */
export interface HealthEntry {
  readonly datacenter: string;
  readonly node: { readonly name: string; readonly address: string; readonly meta: Texts; readonly tagged: Texts };
  readonly id: string;
  /** The name that it was registered by. */
  readonly service: string;
  /** Empty for an ordinary service. */
  readonly kind: string;
  /** Empty where the node's counts. */
  readonly address: string;
  readonly tagged: Readonly<Record<string, { readonly address: string; readonly port: number }>>;
  readonly port: number;
  readonly tags: readonly string[];
  readonly meta: Texts;
  /** `undefined` before Consul 1.2.3. */
  readonly weights: { readonly passing: number; readonly warning: number } | undefined;
  readonly checks: readonly { readonly id: string; readonly status: string }[];
  /** Its program speaks the protocol of Consul's own mesh. */
  readonly isNative: boolean;
  /** Further ports by name, as Consul has them since 1.22. */
  readonly ports: readonly { readonly name: string; readonly number: number; readonly isDefault: boolean }[];
}

const MIB = 1024 * 1024;
/** Deeper than a proxy's configuration, which an instance may carry. */
const DEPTH = 64;

/** For `/v1/catalog/services`. */
export const SERVICES_PARSER: Parser<readonly string[]> = {
  module: import.meta.url,
  name: "parseServices",
  parse: parseServices,
  limits: { bytes: 64 * MIB, depth: DEPTH, values: 4_000_000 },
};
/** For `/v1/health/service/:name`: 4096 instances with some 250 values each. */
export const ENTRIES_PARSER: Parser<readonly HealthEntry[]> = {
  module: import.meta.url,
  name: "parseEntries",
  parse: parseEntries,
  limits: { bytes: 32 * MIB, depth: DEPTH, values: 1_000_000 },
};
/** One check, of `/v1/health/state/:state`. */
export interface Check {
  readonly node: string;
  readonly id: string;
  /** Empty where it is about the whole node. */
  readonly service: string;
}

/** For `/v1/health/state/:state`: tens of thousands of checks that fail. */
export const CHECKS_PARSER: Parser<readonly Check[]> = {
  module: import.meta.url,
  name: "parseChecks",
  parse: parseChecks,
  limits: { bytes: 32 * MIB, depth: DEPTH, values: 1_000_000 },
};
/** For `/v1/status/leader`. */
export const LEADER_PARSER: Parser<string> = {
  module: import.meta.url,
  name: "parseLeader",
  parse: parseLeader,
  limits: { bytes: 1024, depth: 1, values: 1 },
};

/** The address of the leader as it came. */
export function parseLeader(body: Uint8Array): string {
  return Buffer.from(body).toString();
}

/** Checks in an answer of `/v1/health/state/:state`. @throws {ReadError} */
export function parseChecks(body: Uint8Array): readonly Check[] {
  const value = parseJson(body);
  if (!Array.isArray(value)) throw new ReadError("answer", "must be a list of checks");
  return value.map((item, at) => {
    const { Node, CheckID, ServiceName } = must(record(item), `[${at}] must be a check`);
    return { node: text(Node), id: text(CheckID), service: text(ServiceName) };
  });
}

/** Names of the services in an answer of `/v1/catalog/services`. @throws {ReadError} */
export function parseServices(body: Uint8Array): readonly string[] {
  return Object.keys(must(record(parseJson(body)), "must be a mapping of services"));
}

/** Instances in an answer of `/v1/health/service/:name`; one that lacks what matters spoils the whole answer. @throws {ReadError} */
export function parseEntries(body: Uint8Array): readonly HealthEntry[] {
  const value = parseJson(body);
  if (!Array.isArray(value)) throw new ReadError("answer", "must be a list of instances");
  return value.map(toEntry);
}

function toEntry(value: unknown, at: number): HealthEntry {
  const entry = must(record(value), `[${at}] must be an instance`);
  const node = must(record(entry.Node), `[${at}].Node must be a mapping`);
  const service = must(record(entry.Service), `[${at}].Service must be a mapping`);
  if (!Array.isArray(entry.Checks)) throw new ReadError("answer", `[${at}].Checks must be a list`);
  const weights = record(service.Weights);
  return {
    datacenter: text(node.Datacenter),
    node: {
      name: text(node.Node),
      address: must(textOrNothing(node.Address), `[${at}].Node.Address must be a text`),
      meta: texts(node.Meta),
      tagged: texts(node.TaggedAddresses),
    },
    id: text(service.ID),
    service: text(service.Service),
    kind: text(service.Kind),
    address: text(service.Address),
    tagged: taggedAddresses(service.TaggedAddresses),
    port: must(numberOrNothing(service.Port ?? 0), `[${at}].Service.Port must be a number`),
    tags: Array.isArray(service.Tags) ? service.Tags.filter((tag) => typeof tag === "string") : [],
    meta: texts(service.Meta),
    weights:
      weights === undefined
        ? undefined
        : { passing: numberOrNothing(weights.Passing) ?? 1, warning: numberOrNothing(weights.Warning) ?? 1 },
    checks: entry.Checks.map((one: unknown) => {
      const check = record(one);
      const status = must(textOrNothing(check?.Status), `[${at}].Checks must have a status each`);
      return { id: text(check?.CheckID) || text(check?.Name), status };
    }),
    isNative: record(service.Connect)?.Native === true,
    ports: namedPorts(service.Ports),
  };
}

function namedPorts(value: unknown): HealthEntry["ports"] {
  return (Array.isArray(value) ? value : []).flatMap((one: unknown) => {
    const { Name, Port, Default } = record(one) ?? {};
    const number = numberOrNothing(Port);
    return number === undefined ? [] : [{ name: text(Name), number, isDefault: Default === true }];
  });
}

function taggedAddresses(value: unknown): HealthEntry["tagged"] {
  return Object.fromEntries(
    Object.entries(record(value) ?? {}).map(([name, item]) => {
      const { Address, Port } = record(item) ?? {};
      return [name, { address: text(Address), port: numberOrNothing(Port) ?? 0 }];
    }),
  );
}

function must<Value>(value: Value | undefined, why: string): Value {
  if (value === undefined) throw new ReadError("answer", why);
  return value;
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value as Readonly<Record<string, unknown>>;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function textOrNothing(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function numberOrNothing(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) ? value : undefined;
}

/** What is no text is left out. */
function texts(value: unknown): Texts {
  const found = record(value);
  if (found === undefined) return {};
  return Object.fromEntries(
    Object.entries(found).flatMap(([key, item]) => (typeof item === "string" ? [[key, item]] : [])),
  );
}
