import type { Json } from "./forms.ts";
import { instanceId, type NewInstance } from "./store.ts";

/** What a request says of an instance. */
export interface Requested {
  /** Given, or following from the rest. */
  readonly id: string;
  /** Unchecked. */
  readonly instance: NewInstance;
  /** Fields that an answer gives back. */
  readonly echo: Json;
}

/** Seconds from 1 to 60; all else is 5. */
const ttlOf = (ttl: number | null = 0): number => (ttl !== null && ttl >= 1 && ttl <= 60 ? ttl : 5);

const texts = (map: Json | undefined): Json | undefined =>
  map && Object.fromEntries(Object.entries(map).map(([name, value]) => [name, value ?? ""]));

const isGiven = (value: unknown): boolean => value !== undefined;

/** Read an instance of a request. Names may be in camel or snake case; null is as if not given. */
export function requestedInstance(body: Json): Requested {
  const field = (...names: string[]): unknown => names.map((name) => body[name] ?? undefined).find(isGiven);
  const check = field("healthCheck", "health_check") as Json | undefined;
  const heartbeat = check?.["heartbeat"] as { readonly ttl?: number | null } | undefined;
  const checked = heartbeat !== undefined && field("enableHealthCheck", "enable_health_check") !== false;
  const said = {
    namespace: field("namespace"),
    service: field("service"),
    host: field("host"),
    port: field("port"),
    vpcId: field("vpcId", "vpc_id"),
    protocol: field("protocol"),
    version: field("version"),
    priority: field("priority"),
    weight: field("weight"),
    healthy: field("healthy"),
    isolate: field("isolate"),
    metadata: texts(field("metadata") as Json | undefined),
    location: field("location"),
    logicSet: field("logicSet", "logic_set"),
    heartbeatTtlSeconds: checked ? ttlOf(heartbeat.ttl) : undefined,
  };
  const instance = Object.fromEntries(Object.entries(said).filter(([, value]) => isGiven(value))) as unknown;
  const { service = null, namespace = null, host = null, port = null, vpcId = null } = instance as Json;
  const id = String(field("id") ?? "") || instanceId(instance as NewInstance);
  return { id, instance: instance as NewInstance, echo: { service, namespace, vpc_id: vpcId, host, port } };
}

/** Code of what is wrong with an instance, if anything is. */
export function refusal({ service, host, port, weight = 0 }: Partial<NewInstance>): number | undefined {
  if (!/^[0-9A-Za-z\-./:_]{1,128}$/.test(service ?? "")) return 400120;
  if (host === undefined || host === "" || host.length > 128) return 400131;
  if (port === undefined || port > 65535) return 400132;
  return weight > 65535 ? 400103 : undefined;
}
