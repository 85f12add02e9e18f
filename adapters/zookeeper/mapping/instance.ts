import { z } from "zod";
import { ReadError } from "../../../src/errors.ts";
import { protocolOf } from "../../../src/istio/limits.ts";
import { jsonScan } from "../../json-scan.ts";
import { parseJson } from "../../read-json.ts";
import { statedProtocol } from "../../shapes/protocol.ts";
import { shorten } from "../../text.ts";
import type { Registered } from "./candidate.ts";
import { dubboProtocol } from "./protocols.ts";

const LIMITS = { depth: 16, values: 2000 };

// Curator's JsonInstanceSerializer, and the payloads of Spring Cloud ZooKeeper and of Dubbo 3, both called ZookeeperInstance.
const texts = z.record(z.string(), z.unknown()).nullish();
const number = z.coerce.number().int().nullish();
const instance = z.object({
  id: z.string().nullish(),
  address: z.string().nullish(),
  port: number,
  sslPort: number,
  payload: z.union([z.object({ metadata: texts }), z.unknown()]).nullish(),
  registrationTimeUTC: z.coerce.number().nullish(),
  enabled: z.boolean().nullish(),
});
const endpoints = z.array(z.object({ port: z.coerce.number().int(), protocol: z.string().min(1).max(64) })).max(64);

/** What a program of Spring Cloud is called by (spring-cloud-zookeeper: StatusConstants). */
const STATUS = "instance_status";
const DUBBO_ENDPOINTS = "dubbo.endpoints";
const MOST_VALUE = 253;

/** What the data of a node of Curator's service discovery registers. @throws {ReadError} When they are none. */
export function instanceOf(node: string, data: Buffer): Registered {
  jsonScan(LIMITS).add(data);
  const { success, data: read, error } = instance.safeParse(parseJson(data));
  if (!success) {
    const [issue] = error.issues;
    throw new ReadError(
      "answer",
      `${shorten((issue?.path ?? []).join("."))}: ${issue?.message ?? "cannot be understood"}`,
    );
  }
  const meta = textsOf((read.payload as { readonly metadata?: Readonly<Record<string, unknown>> } | null)?.metadata);
  const notes: string[] = [];
  const stated = Object.hasOwn(meta, DUBBO_ENDPOINTS) ? meta[DUBBO_ENDPOINTS] : undefined;
  return {
    id: read.id ?? node,
    host: read.address ?? "",
    ports: stated === undefined ? springPorts(read, meta, notes) : dubboPorts(stated, notes),
    meta: Object.fromEntries(Object.entries(meta).filter(([, value]) => value.length <= MOST_VALUE)),
    out: whyOut(meta, read.enabled),
    notes,
    atMs: read.registrationTimeUTC ?? 0,
  };
}

function whyOut(meta: Registered["meta"], enabled: boolean | null | undefined): Registered["out"] {
  const status = Object.hasOwn(meta, STATUS) ? meta[STATUS] : undefined;
  if (status !== undefined && status.toUpperCase() !== "UP") return { kind: "disabled", reason: shorten(status) };
  return enabled === false ? { kind: "disabled", reason: "not enabled" } : undefined;
}

function springPorts(
  { port, sslPort }: z.output<typeof instance>,
  meta: Registered["meta"],
  notes: string[],
): Registered["ports"] {
  const { protocol = "" } = meta;
  const spoken = statedProtocol(protocol, "", notes) ?? protocolOf("http") ?? "HTTP";
  const plain = port ? [{ name: spoken.toLowerCase().replaceAll("_", "-"), number: port, protocol: spoken }] : [];
  const secure = sslPort ? [{ name: "https", number: sslPort, protocol: "HTTPS" }] : [];
  // Spring states the same number twice where only the secure one is open.
  return sslPort === port ? secure : [...plain, ...secure];
}

/** @throws {ReadError} When the list cannot be understood. */
function dubboPorts(stated: string, notes: string[]): Registered["ports"] {
  const octets = Buffer.from(stated);
  jsonScan(LIMITS).add(octets);
  const { success, data: read } = endpoints.safeParse(parseJson(octets));
  if (!success) throw new ReadError("answer", `${DUBBO_ENDPOINTS} is no list of ports`);
  const ports = read.map(({ port, protocol }) => {
    const { name, istio } = dubboProtocol(protocol.toLowerCase(), false, notes);
    return { name, number: port, protocol: istio };
  });
  return ports.filter(({ name }, at) => ports.findIndex((one) => one.name === name) === at);
}

function textsOf(given: Readonly<Record<string, unknown>> | null | undefined): Readonly<Record<string, string>> {
  const entries = Object.entries(given ?? {}).filter(([, value]) => typeof value === "string");
  return Object.fromEntries(entries) as Record<string, string>;
}
