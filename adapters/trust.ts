import type { z } from "zod";
import { describeError, ReadError } from "../src/errors.ts";
import { isNamePart, isServiceName } from "../src/istio/limits.ts";
import type { SkipKind, Snapshot } from "../src/model/adapter.ts";
import { parseServiceKey, type Service, type ServiceKey, serviceKey } from "../src/model/service.ts";
import { plainText } from "../src/text.ts";
import { serviceSchema, type Trust } from "./service-form.ts";
import { MOST_SKIPPED } from "./shapes/skipped.ts";
import { few } from "./text.ts";

/** A snapshot whose reads have not been checked yet. */
export type Envelope = Omit<Snapshot, "services"> & { readonly services: readonly unknown[] };

/** One read that can be believed, or why it cannot. */
export type JudgedRead =
  | { readonly state: "ok"; readonly key: ServiceKey; readonly service: Service }
  | { readonly state: "failed"; readonly key: ServiceKey; readonly cause: Error }
  /** Nobody can tell which service it is. */
  | { readonly state: "nameless"; readonly fault: string };

/** Past this it is no list of services. */
const MAX_SERVICES = 200_000;
const MAX_REVISION = 65_536;
const MOST_FAULTS = 20;
const MOST_CHARACTERS = 2000;
const SKIP_KINDS: Readonly<Record<SkipKind, true>> = {
  filter: true,
  infrastructure: true,
  kubernetes: true,
  name: true,
};

/**
 * The frame of a snapshot, and nothing that is not known here.
 *
 * @throws {ReadError} When it is no snapshot of this registry.
 */
export function checkEnvelope(given: unknown, registry: string): Envelope {
  const fields = fieldsOf(given);
  const { services, revision, incomplete, skipped, notes, skippedServices } = fields;
  const wrong = (what: string) => new ReadError("answer", `its snapshot cannot be used: ${what}`);
  if (fields.registry !== registry) throw wrong(`registry must be "${registry}", is ${shown(fields.registry)}`);
  if (!Array.isArray(services)) throw wrong(`services must be a list, is ${shown(services)}`);
  if (services.length > MAX_SERVICES) throw wrong(`services must have at most ${MAX_SERVICES} entries`);
  if (typeof revision !== "string" || revision.length > MAX_REVISION)
    throw wrong(`revision must be a text of at most ${MAX_REVISION} characters, is ${shown(revision)}`);
  if (incomplete !== undefined && (typeof incomplete !== "string" || incomplete === ""))
    throw wrong(`incomplete must say why in a text, is ${shown(incomplete)}`);
  return {
    registry,
    services,
    revision,
    ...(incomplete === undefined ? {} : { incomplete: plain(incomplete) }),
    ...(fields.caseless === true ? { caseless: true } : {}),
    ...(skipped === undefined ? {} : { skipped: checkSkipped(skipped, wrong) }),
    ...(notes === undefined ? {} : { notes: checkNotes(notes, wrong) }),
    ...(skippedServices === undefined ? {} : { skippedServices: checkSkippedServices(skippedServices, wrong) }),
  };
}

function checkSkipped(skipped: unknown, wrong: (what: string) => ReadError): NonNullable<Snapshot["skipped"]> {
  for (const [kind, count] of Object.entries(fieldsOf(skipped))) {
    if (!Object.hasOwn(SKIP_KINDS, kind))
      throw wrong(`skipped.${plain(kind)} must be one of ${Object.keys(SKIP_KINDS).join(", ")}`);
    if (!Number.isSafeInteger(count) || Number(count) < 0)
      throw wrong(`skipped.${kind} must be a count, is ${shown(count)}`);
  }
  return { ...fieldsOf(skipped) };
}

function checkNotes(notes: unknown, wrong: (what: string) => ReadError): readonly string[] {
  if (Array.isArray(notes) && notes.every((one) => typeof one === "string"))
    return few(notes.slice(0, MAX_SERVICES).map(plain), MOST_FAULTS, (rest) => `and ${rest} more`);
  throw wrong(`notes must be a list of texts, is ${shown(notes)}`);
}

function checkSkippedServices(
  given: unknown,
  wrong: (what: string) => ReadError,
): NonNullable<Snapshot["skippedServices"]> {
  if (!Array.isArray(given)) throw wrong(`skippedServices must be a list, is ${shown(given)}`);
  return given.slice(0, MOST_SKIPPED).map((one: unknown) => {
    const { name, kind, why } = fieldsOf(one);
    if (
      typeof name !== "string" ||
      typeof why !== "string" ||
      typeof kind !== "string" ||
      !Object.hasOwn(SKIP_KINDS, kind)
    )
      throw wrong("skippedServices must have name, kind and why each");
    return { name: plain(name), kind: kind as SkipKind, why: plain(why) };
  });
}

/** Judges the reads of one registry. A service is copied: only known fields, addresses in canonical text. Never throws. */
export function readJudge(trust: Trust): (given: unknown) => JudgedRead {
  const schema = serviceSchema(trust);
  return (given) => {
    try {
      return judged(fieldsOf(given));
    } catch (error) {
      return { state: "nameless", fault: `a read cannot be inspected: ${plainError(error).message}` }; // a getter that throws
    }
  };

  function judged(read: Fields): JudgedRead {
    if (read.state === "ok") return judgedService(read.service, schema, trust.registry);
    if (read.state === "failed") return judgedFailure(read, trust.registry);
    return { state: "nameless", fault: `a read must have the state "ok" or "failed", has ${shown(read.state)}` };
  }
}

function judgedService(given: unknown, schema: ReturnType<typeof serviceSchema>, registry: string): JudgedRead {
  const { namespace, name } = fieldsOf(given);
  const result = schema.safeParse(given);
  const faults = (result.error?.issues ?? []).flatMap((issue) => faultsOf(issue, given));
  const hasKey =
    typeof namespace === "string" && isNamePart(namespace) && typeof name === "string" && isServiceName(name);
  if (!hasKey) return { state: "nameless", fault: `a service cannot be named: ${faultsIn(faults)}` };
  const key = serviceKey(registry, namespace, name);
  if (result.success) return { state: "ok", key, service: result.data };
  return { state: "failed", key, cause: new ReadError("answer", `Cannot use service ${key}: ${faultsIn(faults)}`) };
}

function judgedFailure({ key, cause }: Fields, registry: string): JudgedRead {
  const parts = typeof key === "string" ? parseServiceKey(key) : undefined;
  if (
    typeof key !== "string" ||
    parts?.registry !== registry ||
    !isNamePart(parts.namespace) ||
    !isServiceName(parts.name)
  )
    return {
      state: "nameless",
      fault: `a failed read must have a key ${registry}/<namespace>/<service>, has ${shown(key)}`,
    };
  return { state: "failed", key, cause: plainError(cause) };
}

/** A text of someone else's, on one line and not too long. */
export function plain(text: string): string {
  return plainText(text, MOST_CHARACTERS);
}

/**
 * An error of someone else's as one of ours: short, printable, without what hangs on it. Its kind is kept also where its
 * ReadError is another copy's: what counts is the field `failure`.
 */
export function plainError(error: unknown): Error {
  const message = plain(describeError(error ?? "no reason given"));
  const failure = failureOf(error);
  return failure === undefined ? new Error(message) : new ReadError(failure, message);
}

function failureOf(error: unknown): ReadError["failure"] | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    const { failure } = at as { readonly failure?: unknown };
    if (typeof failure === "string" && Object.hasOwn(FAILURES, failure)) return failure as ReadError["failure"];
  }
  return undefined;
}

const FAILURES: Readonly<Record<ReadError["failure"], true>> = {
  timeout: true,
  connection: true,
  denied: true,
  server: true,
  answer: true,
};

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function faultsOf(issue: z.core.$ZodIssue, service: unknown): string[] {
  const at = (path: readonly PropertyKey[]) => plain(dotted(path));
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => `${at([...issue.path, key])} ${issue.message}`);
  const value = issue.path.reduce<unknown>(
    (inner, step) => (inner as Fields | null | undefined)?.[step as string],
    service,
  );
  const isSaid = issue.message.startsWith("is ") || issue.message.includes(", is ");
  return [
    `${at(issue.path)} ${value === undefined ? "is missing" : `${issue.message}${isSaid ? "" : `, is ${shown(value)}`}`}`,
  ];
}

/** `ports[0].number` */
function dotted(path: readonly PropertyKey[]): string {
  const text = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  return text === "" ? "it" : text.replace(/^\./, "");
}

function faultsIn(faults: readonly string[]): string {
  return few(faults, MOST_FAULTS, (rest) => `and ${rest} more`).join("; ");
}

function shown(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object" || typeof value === "function") return `of type ${typeof value}`;
  return typeof value === "string" ? JSON.stringify(plain(value.slice(0, 80))) : plain(String(value));
}
