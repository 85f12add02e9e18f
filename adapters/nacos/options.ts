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
const names = z.array(namePart).min(1).refine(isDistinct, "must not name one twice");

/** The path that Nacos has if nobody chose another. */
const USUAL_PATH = "/nacos";

const address = z
  .string()
  .refine(isServerUrl, "must be http://host:port or https://host:port, without user or query")
  .transform((value) => {
    const base = value.replace(/\/+$/, "");
    return new URL(base).pathname === "/" ? `${base}${USUAL_PATH}` : base;
  });

/** The options alone, by name, without the rules between them. */
export const nacosFields = z.strictObject({
  /** Of one server or of several of one cluster, with the port of HTTP. */
  address: z
    .union([address, z.array(address).min(1)], { error: "must be an address or a list of addresses" })
    .transform((value) => [value].flat())
    .refine(isDistinct, "must not name a server twice"),
  /** From the port of HTTP to that of gRPC. */
  grpcPortOffset: z.int().min(-65_534).max(65_534).default(1000),
  /** By their ids, which are the namespaces of their services in the mesh. */
  namespaces: names.default(["public"]),
  /** All that the server tells of when absent. */
  groups: names.optional(),
  /** Of instances; all when absent. */
  clusters: names.optional(),
  services: nameGlobs,
  ...ruleFields,
  username: text.optional(),
  password: text.optional(),
  /** Relative to the configuration's folder. */
  passwordFile: text.optional(),
  accessKey: text.optional(),
  secretKey: text.optional(),
  secretKeyFile: text.optional(),
  /** PEM files, relative to the configuration's folder. With https:// addresses also without these gRPC is encrypted. */
  tls: z
    .strictObject({ ca: text.optional(), cert: text.optional(), key: text.optional(), serverName: text.optional() })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), "must have both cert and key, or neither")
    .optional(),
  /** Of a service of which no instance is healthy; Nacos' own clients call none. */
  allUnhealthy: z.enum(["drop", "keep"]).default("drop"),
  protocolMeta: text.default("protocol"),
  versionMeta: text.default("version"),
  /** Between two looks whether the lists name other services. */
  interval: duration("500ms", "10m").default(5000),
  /** Within this time every service is asked for again, whatever was pushed. */
  verifyEvery: duration("1s", "24h").default(300_000),
  /** Of one request. */
  timeout: duration("100ms", "5m").default(5000),
  /** Requests at once. */
  maxInFlight: z.int().min(1).max(1000).default(32),
});

type Given = z.output<typeof nacosFields>;
const isOne = (...secrets: readonly (string | undefined)[]) => secrets.filter((one) => one !== undefined).length === 1;

/** Options of a registry of kind `nacos`, besides those that every registry has. */
export const nacosOptions = nacosFields
  .refine(
    ({ username, password, passwordFile }: Given) =>
      username === undefined ? password === undefined && passwordFile === undefined : isOne(password, passwordFile),
    { path: ["username"], message: "must come with either password or passwordFile" },
  )
  .refine(
    ({ accessKey, secretKey, secretKeyFile }: Given) =>
      accessKey === undefined
        ? secretKey === undefined && secretKeyFile === undefined
        : isOne(secretKey, secretKeyFile),
    { path: ["accessKey"], message: "must come with either secretKey or secretKeyFile" },
  )
  .refine(({ username, accessKey }: Given) => username === undefined || accessKey === undefined, {
    path: ["accessKey"],
    message: "must not be set together with username",
  })
  .refine(
    ({ address: servers, grpcPortOffset }: Given) =>
      servers.every((one) => {
        const port = grpcPort(one, grpcPortOffset);
        return port >= 1 && port <= 65_535;
      }),
    { path: ["grpcPortOffset"], message: "must lead from the port of every address to one from 1 to 65535" },
  );

/** The port of gRPC of a server. */
export function grpcPort(server: string, offset: number): number {
  const { port, protocol } = new URL(server);
  return Number(port || (protocol === "https:" ? 443 : 80)) + offset;
}

/** The options with their defaults filled in. */
export type NacosOptions = z.output<typeof nacosFields>;
