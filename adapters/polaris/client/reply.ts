import { z } from "zod";
import { ReadError } from "../../../src/errors.ts";
import { isNamePart, isPort, isServiceName } from "../../../src/istio/limits.ts";
import type { Parser } from "../../parse.ts";
import { parseJson } from "../../read-json.ts";
import { shorten } from "../../text.ts";

/** A namespace and a name, by which Polaris knows a service or an alias. */
export interface Name {
  readonly namespace: string;
  readonly name: string;
}

const text = z.string().nullish();
const name = z.object({ namespace: text, name: text });

// Wrappers of protobuf are null where nobody set them.
const instance = z.object({
  id: text,
  host: z.string(),
  port: z.number(),
  protocol: text,
  version: text,
  weight: z.number().nullish(),
  healthy: z.boolean().nullish(),
  isolate: z.boolean().nullish(),
  location: z.object({ region: text, zone: text, campus: text }).nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
});

const reply = z.object({
  code: z.int(),
  info: text,
  type: z.union([z.string(), z.number()]).nullish(),
  service: name.extend({ revision: text, ports: text }).nullish(),
  instances: z.array(z.unknown()).nullish(),
  services: z.array(z.unknown()).nullish(),
  aliasFor: name.nullish(),
});

const listed = z.object({ namespace: z.string().min(1), name: z.string().min(1) });

/** One instance of an answer, as far as it is used. */
export type RawInstance = z.output<typeof instance>;

/** An answer of `POST /v1/Discover`, as far as it is used. */
export interface Reply {
  readonly code: number;
  /** Whole sentence in a language of the server's choice. */
  readonly info: string;
  readonly type: string;
  /** The service that the answer is about; empty texts in an answer that lists services. */
  readonly about: Name;
  /** Empty when there is none. */
  readonly revision: string;
  readonly instances: readonly RawInstance[];
  /** That the service is declared to have, or that its instances had; ascending. */
  readonly ports: readonly number[];
  readonly services: readonly Name[];
  /** What the answer's instances belong to: another name than `about` when that is an alias. */
  readonly aliasFor: Name | undefined;
}

const OK = 200000;
/** Real ones have 40. One that is longer is kept for none: the service is then read whole each time. */
const LONGEST_REVISION = 200;
/** Past this it is no list of services. */
const MOST_SERVICES = 200_000;

const MOST_DECLARED = 1000;
const MOST_PORTS = 32;

const MIB = 1024 * 1024;
const DEPTH = 64;

/** For answers of type `INSTANCE`. */
export const INSTANCES_PARSER: Parser<Reply> = {
  module: import.meta.url,
  name: "parseReply",
  parse: parseReply,
  limits: { bytes: 8 * MIB, depth: DEPTH, values: 500_000 },
};
/** For answers of type `SERVICES`: a list spells out 25 fields for each service, some 800 bytes. */
export const LIST_PARSER: Parser<Reply> = {
  ...INSTANCES_PARSER,
  limits: { bytes: 80 * MIB, depth: DEPTH, values: 4_000_000 },
};

/**
 * Read the body of an answer. Fields that are not used may be anything.
 *
 * @throws {ReadError} When it is no answer of Polaris.
 */
export function parseReply(body: Uint8Array): Reply {
  const { code, info, type, service, aliasFor, ...lists } = fitting(reply, parseJson(body));
  const instances = lists.instances?.map((one, at) => fitting(instance, one, ["instances", at]));
  if ((lists.services?.length ?? 0) > MOST_SERVICES)
    throw new ReadError("answer", `lists ${lists.services?.length} services, ${MOST_SERVICES} are read at most`);
  const services = lists.services?.map((one, at) => fitting(listed, one, ["services", at]));
  // A list that is not there is not an empty one.
  if (code === OK && type === "INSTANCE" && !instances) throw new ReadError("answer", "has no list of instances");
  if (code === OK && type === "SERVICES" && !services) throw new ReadError("answer", "has no list of services");
  const revision = service?.revision ?? "";
  return {
    code,
    info: info ?? "",
    type: `${type ?? ""}`,
    about: { namespace: service?.namespace ?? "", name: service?.name ?? "" },
    revision: revision.length > LONGEST_REVISION ? "" : revision,
    instances: instances ?? [],
    ports: portsOf(service?.ports ?? ""),
    services: services ?? [],
    aliasFor: aliasFor?.name ? checkedAlias({ namespace: aliasFor.namespace ?? "", name: aliasFor.name }) : undefined,
  };
}

/** `8080,8080,9090`, as anyone may have written it. */
function portsOf(text: string): readonly number[] {
  const numbers = text.split(",", MOST_DECLARED).map((one) => (/^\s*\d{1,5}\s*$/.test(one) ? Number(one) : 0));
  return [...new Set(numbers.filter(isPort))].sort((a, b) => a - b).slice(0, MOST_PORTS);
}

/** Item by item: of a list of a million wrong ones, one fault is enough. @throws {ReadError} */
function fitting<Schema extends z.ZodType>(schema: Schema, value: unknown, at: readonly PropertyKey[] = []) {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = shorten([...at, ...(issue?.path ?? [])].map(String).join("."));
  throw new ReadError("answer", `cannot be understood: ${path === "" ? "it" : path}: ${issue?.message ?? "unknown"}`);
}

function checkedAlias(target: Name): Name {
  if (isNamePart(target.namespace) && isServiceName(target.name)) return target;
  throw new ReadError(
    "answer",
    `is about an alias of ${shorten(`${target.namespace}/${target.name}`)}, which is no name`,
  );
}
