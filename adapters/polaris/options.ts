import { z } from "zod";
import { isNamePart } from "../istio.ts";
import { duration } from "../options.ts";

const text = z.string().min(1);
const globs = z.array(text);
const distinct = (values: readonly string[]) => new Set(values).size === values.length;

const address = z
  .string()
  .refine(isServer, "must be http://host:port or https://host:port, without user or query")
  .transform((value) => value.replace(/\/+$/, ""));

function isServer(value: string): boolean {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) return false;
  return [url.username, url.password, url.search, url.hash].every((part) => part === "");
}

/** The options alone, by name, without the rules between them. */
export const polarisFields = z.strictObject({
  /** Of one server or of several of one Polaris, the one to prefer first. */
  address: z
    .union([address, z.array(address).min(1)], { error: "must be an address or a list of addresses" })
    .transform((value) => [value].flat())
    .refine(distinct, "must not name a server twice"),
  /** Namespaces to read; all when absent. */
  namespaces: z
    .array(z.string().refine(isNamePart, "must be a printable text of at most 253 characters without slash"))
    .min(1)
    .refine(distinct, "must not name a namespace twice")
    .optional(),
  services: z
    .strictObject({ include: globs.default(["*"]), exclude: globs.default([]) })
    .default({ include: ["*"], exclude: [] }),
  token: text.optional(),
  /** Relative to the configuration's folder. */
  tokenFile: text.optional(),
  /** `ca` is a PEM file, relative to the configuration's folder. */
  tls: z.strictObject({ ca: text.optional(), serverName: text.optional() }).optional(),
  unhealthy: z.enum(["drop", "keep"]).default("drop"),
  /** Allow endpoints on 127.0.0.0/8 and ::1: only for tests on one machine. */
  loopback: z.boolean().default(false),
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
    message: "must not stand beside token",
  })
  .refine(({ tls, address: servers }) => tls === undefined || servers.every((one) => one.startsWith("https://")), {
    path: ["tls"],
    message: "must stand only with addresses https://",
  });

export type PolarisOptions = z.output<typeof polarisFields>;
