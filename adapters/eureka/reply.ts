import { z } from "zod";
import { ReadError } from "../../src/errors.ts";
import type { Parser } from "../parse.ts";
import { parseJson } from "../read-json.ts";
import { shorten } from "../text.ts";

// Netflix/eureka XmlXStream and EurekaJacksonCodec: numbers and booleans may be texts, a list of one may be that one.
const text = z.union([z.string(), z.number()]).transform(String).nullish();
const flag = z.union([z.boolean(), z.string()]).transform((value) => `${value}` === "true");
const port = z.object({ $: z.coerce.number(), "@enabled": flag.default(false) }).nullish();
const texts = z.record(z.string(), z.unknown()).nullish();

const instance = z.object({
  instanceId: text,
  hostName: text,
  ipAddr: text,
  status: text,
  overriddenStatus: text,
  overriddenstatus: text, // the spelling of eureka-core before 1.10
  port,
  securePort: port,
  vipAddress: text,
  secureVipAddress: text,
  leaseInfo: z
    .object({ durationInSecs: z.coerce.number().nullish(), lastRenewalTimestamp: z.coerce.number().nullish() })
    .nullish(),
  dataCenterInfo: z.object({ name: text, metadata: texts }).nullish(),
  metadata: texts,
});

/** One instance of an answer, as far as it is used. */
export interface RawInstance {
  /** Parts instances of one application that are otherwise alike. */
  readonly id: string;
  readonly hostName: string;
  readonly ipAddr: string;
  /** `UP`, `DOWN`, `STARTING`, `OUT_OF_SERVICE`, `UNKNOWN`, or what else a server may say. */
  readonly status: string;
  /** By override, so by a person or a tool, not by the instance. */
  readonly isOverridden: boolean;
  /** 0 where it is not enabled. */
  readonly port: number;
  readonly securePort: number;
  /** Names by which callers know it, comma-separated ones apart. */
  readonly vips: readonly string[];
  /** Of Amazon's data centres: `us-east-1c`. */
  readonly availabilityZone?: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds between its last renewal and the last of any instance of this answer, past what its lease allows. */
  readonly isOverdue: boolean;
}

/** One application of an answer: its instances, or why they cannot be understood. */
export type RawApp =
  | { readonly name: string; readonly instances: readonly RawInstance[] }
  | { readonly name: string; readonly instances?: never; readonly fault: string };

const MIB = 1024 * 1024;
/** Past these it is no list of instances. */
const MOST_APPS = 200_000;
/** A lease's end is doubled by a fault that is kept (Netflix/eureka Lease.java), and answers may be three minutes old. */
const CACHED_MS = 180_000;
const DEFAULT_LEASE_SECONDS = 90;

/** For `GET /apps`: 50,000 instances are some 45 MB and 3,000,000 values. */
export const APPS_PARSER: Parser<readonly RawApp[]> = {
  module: import.meta.url,
  name: "parseApps",
  parse: parseApps,
  limits: { bytes: 96 * MIB, depth: 32, values: 8_000_000 },
};

/**
 * Read the body of `GET /apps`. Fields that are not used may be anything; an application with an instance that cannot be understood
 * is told alone.
 *
 * @throws {ReadError} When it is no list of applications.
 */
export function parseApps(body: Uint8Array): readonly RawApp[] {
  const { applications } = fields(parseJson(body));
  if (typeof applications !== "object" || applications === null)
    throw new ReadError("answer", "has no list of applications");
  const apps = listOf(fields(applications).application);
  if (apps.length > MOST_APPS)
    throw new ReadError("answer", `lists ${apps.length} applications, ${MOST_APPS} are read at most`);
  const read = apps.map((one) => {
    const { name, instance: instances } = fields(one);
    if (typeof name !== "string" || name === "") throw new ReadError("answer", "lists an application without a name");
    return { name, parts: listOf(instances).map((part) => instance.safeParse(part)) };
  });
  const renewals = read.flatMap(({ parts }) =>
    parts.map(({ data }) => data?.leaseInfo?.lastRenewalTimestamp ?? 0).filter(Number.isFinite),
  );
  const newestMs = renewals.reduce((most, one) => Math.max(most, one), 0);
  return read.map(({ name, parts }): RawApp => {
    const bad = parts.find(({ success }) => !success);
    if (bad !== undefined) return { name, fault: faultOf(bad.error) };
    return { name, instances: parts.flatMap(({ data }) => (data === undefined ? [] : [rawInstance(data, newestMs)])) };
  });
}

function faultOf(error: z.ZodError | undefined): string {
  const [issue] = error?.issues ?? [];
  return `${shorten((issue?.path ?? []).join("."))} of an instance: ${issue?.message ?? "cannot be understood"}`;
}

function rawInstance(given: z.output<typeof instance>, newestMs: number): RawInstance {
  const { dataCenterInfo, leaseInfo, port: plain, securePort: secure } = given;
  const overridden = given.overriddenStatus ?? given.overriddenstatus ?? "UNKNOWN";
  const amazon = dataCenterInfo?.name === "Amazon" ? own(dataCenterInfo.metadata, "availability-zone") : undefined;
  const renewedMs = leaseInfo?.lastRenewalTimestamp ?? 0;
  const leaseMs = (leaseInfo?.durationInSecs ?? DEFAULT_LEASE_SECONDS) * 1000;
  return {
    id: given.instanceId ?? own(dataCenterInfo?.metadata, "instance-id") ?? given.hostName ?? given.ipAddr ?? "",
    hostName: given.hostName ?? "",
    ipAddr: given.ipAddr ?? "",
    status: given.status ?? "UNKNOWN",
    isOverridden: overridden !== "UNKNOWN" && overridden === given.status,
    port: plain?.["@enabled"] === true ? plain.$ : 0,
    securePort: secure?.["@enabled"] === true ? secure.$ : 0,
    vips: [given.vipAddress ?? "", given.secureVipAddress ?? ""]
      .flatMap((list) => list.split(","))
      .map((one) => one.trim()),
    ...(amazon === undefined ? {} : { availabilityZone: amazon }),
    metadata: textsOf(given.metadata),
    isOverdue: renewedMs > 0 && newestMs - renewedMs > 2 * leaseMs + CACHED_MS,
  };
}

/** Metadata without the class by which Java's empty map is told. */
function textsOf(given: Readonly<Record<string, unknown>> | null | undefined): Readonly<Record<string, string>> {
  const entries = Object.entries(given ?? {}).filter(([key, value]) => key !== "@class" && typeof value === "string");
  return Object.fromEntries(entries) as Record<string, string>;
}

function own(given: Readonly<Record<string, unknown>> | null | undefined, key: string): string | undefined {
  const value = given !== undefined && given !== null && Object.hasOwn(given, key) ? given[key] : undefined;
  return typeof value === "string" ? value : undefined;
}

function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
