import { isAbsolute } from "node:path";
import { z } from "zod";
import { isNamePart } from "../../src/istio/limits.ts";
import { duration, isDistinct, isServerUrl, nameGlobs } from "../options.ts";
import { ruleFields } from "../shapes/rules.ts";

const text = z.string().min(1);
const fits = (must: string, test: (value: string) => boolean) => z.string().refine(test, must);
const pairs = z.record(text, z.string());

const address = fits("must be http://host:port, https://host:port or unix:///path, without user or query", (value) => {
  if (value.startsWith("unix://")) return isAbsolute(value.slice("unix://".length));
  return isServerUrl(value);
});

const basicAuth = z
  .strictObject({ username: text, password: text.optional(), passwordFile: text.optional() })
  .refine(
    ({ password, passwordFile }) => (password === undefined) !== (passwordFile === undefined),
    "must have either password or passwordFile",
  );

/** The options alone, by name, without the rules between them. */
export const consulFields = z.strictObject({
  /** Of an agent or server, or of a proxy before it. */
  address,
  /** Datacenters to join; by default the agent's own. */
  datacenters: z
    .array(fits("must be a datacenter's name", (value) => /^[\w-]{1,64}$/.test(value)))
    .min(1)
    .refine(isDistinct, "must not name a datacenter twice")
    .optional(),
  /** Namespace of all its services in the mesh. */
  namespace: fits("must be a printable text of at most 253 characters without slash", (value) =>
    value === "" ? false : isNamePart(value),
  ).default("default"),
  token: text.optional(),
  tokenFile: text.optional(),
  basicAuth: basicAuth.optional(),
  /** PEM files, relative to the configuration's folder. */
  tls: z
    .strictObject({
      ca: text.optional(),
      cert: text.optional(),
      key: text.optional(),
      serverName: text.optional(),
    })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), "must have both cert and key, or neither")
    .optional(),
  consistency: z.enum(["default", "stale", "consistent"]).default("default"),
  /** A stale answer older than this is asked for again, from the leader. */
  maxStale: duration("1ms", "24h").default(10_000),
  services: nameGlobs,
  /** All of these tags must stand on an instance. */
  tags: z.array(text).default([]),
  /** Consul's own expression for instances, `Service.Meta.team == "shop"`; it goes to Consul as it stands. */
  filter: text.optional(),
  /** Of Consul Enterprise: where everything is read. */
  enterprise: z.strictObject({ namespace: text.optional(), partition: text.optional() }).default({}),
  /** What the token may see: everything, or some services, of which it lists all. */
  scope: z.enum(["all", "token"]).default("all"),
  nodeMeta: pairs.default({}),
  serviceMeta: pairs.default({}),
  warning: z.enum(["include", "exclude"]).default("include"),
  /** Of a service of which no instance is healthy; Consul's DNS answers none. */
  allUnhealthy: z.enum(["drop", "keep"]).default("drop"),
  taggedAddress: text.optional(),
  /** What parts key and value in a tag that is a label. */
  labelSeparators: z.array(text).default(["=", "|"]),
  protocolMeta: text.default("protocol"),
  versionMeta: text.default("version"),
  ...ruleFields,
  /** Of an instance whose program speaks the protocol of Consul's own mesh. */
  connectNative: z.enum(["drop", "keep"]).default("drop"),
  regionMeta: text.optional(),
  zoneMeta: text.optional(),
  /** Of one request, besides the time that a blocking query waits. */
  timeout: duration("100ms", "5m").default(10_000),
  /** Blocking queries at once where each takes a connection. */
  maxConnections: z.int().min(4).max(10_000).default(100),
  /** How long a blocking query waits for a change. */
  wait: duration("1s", "10m").default(300_000),
  /** Each service is read at least once in this time, whatever its index says. */
  verifyEvery: duration("1s", "24h").default(300_000),
});

/** Options of a registry of kind `consul`, besides those that every registry has. */
export const consulOptions = consulFields
  .refine(({ token, tokenFile }) => token === undefined || tokenFile === undefined, {
    path: ["tokenFile"],
    message: "must not be set together with token",
  })
  .refine(({ tls, address: at }) => tls === undefined || at.startsWith("https://"), {
    path: ["tls"],
    message: "is valid only with an https:// address",
  });

/** The options with their defaults filled in. */
export type ConsulOptions = z.output<typeof consulFields>;

/** Which part of Consul a request is about. */
export function placeParameters(
  dc: string | undefined,
  { namespace, partition }: ConsulOptions["enterprise"],
): Readonly<Record<string, string>> {
  return {
    ...(dc === undefined ? {} : { dc }),
    ...(namespace === undefined ? {} : { ns: namespace }),
    ...(partition === undefined ? {} : { partition }),
  };
}
