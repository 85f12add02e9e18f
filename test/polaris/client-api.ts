import { type DiscoverContext, discover, type PANIC } from "./discover.ts";
import { discoverForm, infoOf, instanceForm, type Json, OWNER, responseForm } from "./forms.ts";
import type { Registry } from "./registry.ts";
import { refusal, requestedInstance } from "./requested.ts";

/**
 * What a token may do.
 *
 * - full: all.
 * - read: look at the console, which shows nothing; discovery is denied. It is the built-in read-only policy.
 * - blind: as read, but SERVICES succeeds and lists nothing. It is a policy with the right to discover and no resource.
 * - none: nothing.
 */
export type Right = "full" | "read" | "blind" | "none";

/** One request to the client API. */
export interface ClientCall {
  readonly path: string;
  /** As received. */
  readonly text: string;
  /** Undefined without a token, and with one that nobody knows. */
  readonly right: Right | undefined;
  readonly strict: boolean;
  readonly registry: Registry;
  readonly discovery: DiscoverContext;
}

const TYPES: Readonly<Record<string, number>> = {
  UNKNOWN: 0,
  INSTANCE: 1,
  CLUSTER: 2,
  ROUTING: 3,
  RATE_LIMIT: 4,
  CIRCUIT_BREAKER: 5,
  SERVICES: 6,
  NAMESPACES: 12,
  FAULT_DETECTOR: 13,
  LANE: 14,
  CUSTOM_ROUTE_RULE: 101,
};

const unreadable = (why: string): Json => responseForm(400001, { info: `${infoOf(400001)}: ${why}` });

function parse(text: string): Json | string {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : "invalid message";
  } catch {
    return "unexpected EOF";
  }
}

function typeOf(value: unknown): string | undefined {
  const known = Object.entries(TYPES).find(([name, number]) => value === name || value === number);
  return value === undefined ? "UNKNOWN" : known?.[0];
}

function register({ registry, right }: ClientCall, body: Json): Json {
  const { instance, echo } = requestedInstance(body);
  const code = refusal(instance);
  const { weight = null, isolate = null, protocol = null } = body;
  if (code !== undefined) return responseForm(code, { instance: instanceForm({ ...echo, weight, isolate, protocol }) });
  const id = registry.register(instance, right === undefined ? "Polaris" : OWNER);
  return responseForm(200000, { instance: instanceForm({ id, ...echo }) });
}

function answer(call: ClientCall, body: Json): Json | typeof PANIC {
  const { id, echo } = requestedInstance(body);
  switch (call.path) {
    case "/v1/RegisterInstance":
      return register(call, body);
    case "/v1/DeregisterInstance":
      call.registry.deregister(id);
      return responseForm(200000, { instance: instanceForm({ id, ...echo }) });
    case "/v1/Heartbeat":
      call.registry.beat(id);
      return responseForm(200000, { instance: instanceForm(echo) });
    default: {
      const { host = null, type = "UNKNOWN", version = null, location = null, id = null } = body;
      const client = { host, type, version, location, id, stat: [], ctime: null, mtime: null };
      return responseForm(200000, { client });
    }
  }
}

function answerDiscover({ strict, right, discovery }: ClientCall, body: Json): Json | typeof PANIC {
  const type = typeOf(body["type"]);
  if (type === undefined) {
    const value = JSON.stringify(JSON.stringify(body["type"]));
    return unreadable(`unknown value ${value} for enum v1.DiscoverRequest.DiscoverRequestType`);
  }
  const blind = strict && right === "blind";
  if (strict && right !== "full" && !(blind && type === "SERVICES")) return discoverForm(401001, "UNKNOWN");
  const filter = (body["Filter"] ?? body["filter"]) as { readonly OnlyHealthyInstance?: unknown } | undefined;
  const service = body["service"] as Json | undefined;
  const onlyHealthy = filter?.OnlyHealthyInstance === true;
  return discover({ type, service: service ?? undefined, onlyHealthy, blind }, discovery);
}

/** Paths of the client API. */
export const CLIENT_PATHS: readonly string[] = [
  "/v1/Discover",
  "/v1/RegisterInstance",
  "/v1/DeregisterInstance",
  "/v1/Heartbeat",
  "/v1/ReportClient",
];

/** Answer a request to the client API. */
export function answerClient(call: ClientCall): Json | typeof PANIC {
  const body = parse(call.text);
  if (typeof body === "string") return unreadable(body);
  if (call.path === "/v1/Discover") return answerDiscover(call, body);
  const changes = call.path === "/v1/RegisterInstance" || call.path === "/v1/DeregisterInstance";
  if (call.strict && changes && call.right !== "full")
    return responseForm(401001, { info: `${infoOf(401001)}: invalid token` });
  return answer(call, body);
}
