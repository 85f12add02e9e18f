import { STATUS_CODES } from "node:http";

/** A JSON object as it goes over the wire. */
export type Json = { [field: string]: unknown };

/** JSON, or the text itself if it is none. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Texts of the codes. The real server's, in English. */
export const INFO: Readonly<Record<number, string>> = {
  200000: "execute success",
  200001: "discover data is no change",
  400001: "request decode failed",
  400004: "invalid discover resource",
  400103: "invalid parameter",
  400104: "query instance parameter is empty",
  400120: "invalid service name",
  400131: "invalid instance host",
  400132: "invalid instance port",
  400134: "request namespace is not allow to create sid type alias",
  400202: "not found resource",
  400204: "some instances existed in service",
  401000: "unauthorized",
  401001: "access is not approved",
  401002: "auth token empty",
  401003: "token already disabled",
  401004: "token not existed",
  403001: "token verify exception",
  403003: "server limit the api access",
  429001: "your instance has too many requests",
  429002: "server limit the ip access",
  500000: "execute exception",
  500001: "store layer exception",
};

/** Text of a code. */
export function infoOf(code: number): string {
  return INFO[code] ?? STATUS_CODES[Math.trunc(code / 1000)] ?? "unknown";
}

/** Id of the account that tokens belong to. */
export const OWNER = "65e4789a6d5b49669adf1e9e8387549c";

/** Stands in for every token of a service, all of which the console gives away. */
export const SERVICE_TOKEN = "0".repeat(32);

const fill = (defaults: Json, fields: Json): Json => ({ ...defaults, ...fields });
const nulls = (names: string): Json => Object.fromEntries(names.split(" ").map((name) => [name, null]));
const lists = (names: string): Json => Object.fromEntries(names.split(" ").map((name) => [name, []]));

/** A service with every default spelled out, fields in the order of the protocol's message. */
export function serviceForm(fields: Json): Json {
  const text = "ports business department cmdb_mod1 cmdb_mod2 cmdb_mod3 comment owners token ctime mtime revision";
  return fill(
    {
      ...nulls("name namespace"),
      metadata: {},
      ...nulls(`${text} platform_id total_instance_count healthy_instance_count`),
      ...lists("user_ids group_ids remove_user_ids remove_group_ids"),
      ...nulls("id editable"),
      export_to: [],
      deleteable: null,
    },
    fields,
  );
}

/** An instance with every default spelled out. */
export function instanceForm(fields: Json): Json {
  const text = "id service namespace vpc_id host port protocol version priority weight enableHealthCheck healthCheck";
  return fill(
    {
      ...nulls(`${text} healthy isolate location`),
      metadata: {},
      ...nulls("logic_set ctime mtime revision service_token"),
    },
    fields,
  );
}

/** An alias with every default spelled out. */
export function aliasForm(fields: Json): Json {
  return fill(
    {
      ...nulls("service namespace alias alias_namespace"),
      type: "DEFAULT",
      ...nulls("owners comment service_token ctime mtime id editable deleteable"),
    },
    fields,
  );
}

/** A namespace with every default spelled out. */
export function namespaceForm(fields: Json): Json {
  return fill(
    {
      ...nulls("name comment owners token ctime mtime"),
      ...nulls("total_service_count total_health_instance_count total_instance_count"),
      ...lists("user_ids group_ids remove_user_ids remove_group_ids"),
      ...nulls("id editable"),
      service_export_to: [],
      metadata: {},
      deleteable: null,
    },
    fields,
  );
}

/** Answer to Discover. */
export function discoverForm(code: number, type: string, fields: Json = {}): Json {
  return fill(
    {
      code,
      info: infoOf(code),
      type,
      service: null,
      instances: [],
      ...nulls("routing rateLimit circuitBreaker"),
      ...lists("services namespaces"),
      ...nulls("faultDetector aliasFor"),
      ...lists("lanes customRouteRules nearbyRouteRules losslessRules"),
    },
    fields,
  );
}

/** Answer to a request that changes one thing. */
export function responseForm(code: number, fields: Json = {}): Json {
  const text = "client namespace service instance routing alias rateLimit circuitBreaker configRelease user userGroup";
  const more = "authStrategy relation loginResponse modifyAuthStrategy modifyUserGroup resources optionSwitch";
  return fill({ code, info: infoOf(code), ...nulls(`${text} ${more} instanceLabels data serviceContract`) }, fields);
}

/** Answer to a request that changes several things: the first code that is no success counts. */
export function batchForm(responses: readonly Json[]): Json {
  const code = Number(responses.find((response) => response["code"] !== 200000)?.["code"] ?? 200000);
  return { code, info: infoOf(code), size: responses.length, responses };
}

/** Answer to a question of the console. */
export function listForm(code: number, fields: Json = {}): Json {
  const names = "namespaces services instances routings aliases rateLimits configWithServices users userGroups";
  return fill(
    {
      code,
      info: infoOf(code),
      amount: 0,
      size: 0,
      ...lists(`${names} authStrategies clients data`),
      summary: null,
    },
    fields,
  );
}

/**
 * Text of a body as the server writes it: one space a level, and a line break even in an empty list or object.
 *
 * The recordings' Content-Length agrees with it.
 */
export function wireText(value: unknown, indent = ""): string {
  const inner = `${indent} `;
  if (Array.isArray(value)) {
    if (value.length === 0) return `[\n${indent}]`;
    return `[\n${value.map((item) => inner + wireText(item, inner)).join(",\n")}\n${indent}]`;
  }
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).map(
      ([name, item]) => `${inner}${JSON.stringify(name)}: ${wireText(item, inner)}`,
    );
    return fields.length === 0 ? `{\n${indent}}` : `{\n${fields.join(",\n")}\n${indent}}`;
  }
  return JSON.stringify(value);
}
