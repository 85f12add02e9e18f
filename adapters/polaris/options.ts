import { z } from "zod";
import { isNamePart } from "../../src/istio/limits.ts";
import { duration, isDistinct, isServerUrl, nameGlobs } from "../options.ts";
import { ruleFields } from "../shapes/rules.ts";

const text = z.string().min(1);

const address = z
  .string()
  .refine(isServerUrl, "must be http://host:port or https://host:port, without user or query")
  .transform((value) => value.replace(/\/+$/, ""));

/** The options alone, by name, without the rules between them. */
export const polarisFields = z.strictObject({
  /** Of one server or of several of one Polaris, the one to prefer first. */
  address: z
    .union([address, z.array(address).min(1)], { error: "must be an address or a list of addresses" })
    .transform((value) => [value].flat())
    .refine(isDistinct, "must not name a server twice"),
  /** Namespaces to read; all when absent. */
  namespaces: z
    .array(z.string().refine(isNamePart, "must be a printable text of at most 253 characters without slash"))
    .min(1)
    .refine(isDistinct, "must not name a namespace twice")
    .optional(),
  services: nameGlobs,
  ...ruleFields,
  token: text.optional(),
  /** Relative to the configuration's folder. */
  tokenFile: text.optional(),
  /** `ca` is a PEM file, relative to the configuration's folder. */
  tls: z.strictObject({ ca: text.optional(), serverName: text.optional() }).optional(),
  unhealthy: z.enum(["drop", "keep"]).default("drop"),
  /** Of a service of which no instance is healthy; Polaris's own clients call all that are not isolated and have weight. */
  allUnhealthy: z.enum(["drop", "keep"]).default("keep"),
  /** Each service is asked for at least once in this time, trusting no revision that was seen only once. */
  verifyEvery: duration("1s", "24h").default(300_000),
  /** Between two questions whether something has changed. */
  interval: duration("100ms", "10m").default(2000),
  /** Of one request. */
  timeout: duration("100ms", "5m").default(5000),
  /** Requests at once. */
  maxInFlight: z.int().min(1).max(1000).default(32),
});

/** Options of a registry of kind `polaris`, besides those that every registry has. */
export const polarisOptions = polarisFields
  .refine(({ token, tokenFile }) => token === undefined || tokenFile === undefined, {
    path: ["tokenFile"],
    message: "must not be set together with token",
  })
  .refine(({ tls, address: servers }) => tls === undefined || servers.every((one) => one.startsWith("https://")), {
    path: ["tls"],
    message: "is valid only with https:// addresses",
  });

/** The options with their defaults filled in. */
export type PolarisOptions = z.output<typeof polarisFields>;
