import { z } from "zod";
import { isNamePart } from "../../src/istio/limits.ts";
import { duration, isDistinct, isServerUrl, nameGlobs } from "../options.ts";
import { ruleFields } from "../shapes/rules.ts";

const text = z.string().min(1);
const namePart = z
  .string()
  .refine(
    (value) => value !== "" && isNamePart(value),
    "must be a printable text of at most 253 characters without slash",
  );

const address = z
  .string()
  .refine(isServerUrl, "must be http://host:port/eureka or https://host:port/eureka, without user or query")
  .transform((value) => value.replace(/\/+$/, ""));

const basicAuth = z
  .strictObject({ username: text, password: text.optional(), passwordFile: text.optional() })
  .refine(
    ({ password, passwordFile }) => (password === undefined) !== (passwordFile === undefined),
    "must have either password or passwordFile",
  );

/** The options alone, by name, without the rules between them. */
export const eurekaFields = z.strictObject({
  /** Base URLs of one server or of several peers, with the path that clients have in `serviceUrl`. */
  address: z
    .union([address, z.array(address).min(1)], { error: "must be an address or a list of addresses" })
    .transform((value) => [value].flat())
    .refine(isDistinct, "must not name a server twice"),
  /** Namespace of all its services in the mesh. */
  namespace: namePart.default("default"),
  /** Of applications, in lower case. */
  services: nameGlobs,
  ...ruleFields,
  basicAuth: basicAuth.optional(),
  /** PEM files, relative to the configuration's folder. */
  tls: z
    .strictObject({ ca: text.optional(), cert: text.optional(), key: text.optional(), serverName: text.optional() })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), "must have both cert and key, or neither")
    .optional(),
  /** Of an application of which no instance is UP; Eureka's own clients call none. */
  allUnhealthy: z.enum(["drop", "keep"]).default("drop"),
  protocolMeta: text.default("protocol"),
  versionMeta: text.default("version"),
  zoneMeta: text.default("zone"),
  /** In which the zones of `zoneMeta` lie: Istio knows no zone without a region. */
  region: namePart.optional(),
  /** Between two questions whether something has changed. */
  interval: duration("500ms", "10m").default(5000),
  /** Of one request. */
  timeout: duration("100ms", "5m").default(10_000),
});

/** Options of a registry of kind `eureka`, besides those that every registry has. */
export const eurekaOptions = eurekaFields.refine(
  ({ tls, address: servers }) => tls === undefined || servers.every((one) => one.startsWith("https://")),
  { path: ["tls"], message: "is valid only with https:// addresses" },
);

/** The options with their defaults filled in. */
export type EurekaOptions = z.output<typeof eurekaFields>;
