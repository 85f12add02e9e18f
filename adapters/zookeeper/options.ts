import { z } from "zod";
import { isNamePart } from "../../src/istio/limits.ts";
import { duration, isDistinct, nameGlobs } from "../options.ts";
import { ruleFields } from "../shapes/rules.ts";

const text = z.string().min(1);

/** Where servers are, and below which node of theirs. */
export interface Address {
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  /** Before every path: empty, or a path without a slash at its end. */
  readonly chroot: string;
}

const USUAL_PORT = 2181;
const MUST_ADDRESS =
  "must be host:port, several separated by commas, and at the end possibly a path: zk-1:2181,zk-2:2181/prefix";

/** A connection string as every client of ZooKeeper takes it. */
const address = z
  .union([text, z.array(text).min(1)], { error: "must be an address or a list of addresses" })
  .transform((value) => parseServers([value].flat().join(",")))
  .refine((value) => value !== undefined, MUST_ADDRESS)
  .transform((value): Address => value ?? { servers: [], chroot: "" })
  .refine(
    ({ servers }) => isDistinct(servers.map(({ host, port }) => `${host} ${port}`)),
    "must not name a server twice",
  );

function parseServers(given: string): Address | undefined {
  const slash = given.indexOf("/");
  const path = slash < 0 ? "" : given.slice(slash).replace(/\/+$/, "");
  const hosts = (slash < 0 ? given : given.slice(0, slash)).split(",");
  if (path !== "" && !isNodePath(path)) return undefined;
  const servers = hosts.map((one) => {
    const [, bracketed, plain, digits] =
      /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]@?#]+))(?::(\d{1,5}))?$/i.exec(one.trim()) ?? [];
    const host = bracketed ?? plain;
    const port = digits === undefined ? USUAL_PORT : Number(digits);
    return host === undefined || port < 1 || port > 65535 ? undefined : { host, port };
  });
  return servers.includes(undefined)
    ? undefined
    : { servers: servers.filter((one) => one !== undefined), chroot: path };
}

/** Whether ZooKeeper takes a text as a path (PathUtils.validatePath). */
function isNodePath(path: string): boolean {
  return /^(\/[^/\p{Cc}]+)+$/u.test(path) && !/\/\.{1,2}(\/|$)/.test(path);
}

const digestAuth = z
  .strictObject({ username: text, password: text.optional(), passwordFile: text.optional() })
  .refine(
    ({ password, passwordFile }) => (password === undefined) !== (passwordFile === undefined),
    "must have either password or passwordFile",
  );

/** The options alone, by name, without the rules between them. */
export const zooKeeperFields = z.strictObject({
  address,
  /** Who has written the tree: Dubbo by interface, or Curator for Spring Cloud and for Dubbo 3 by application. */
  layout: z.enum(["dubbo", "curator"]).default("dubbo"),
  /** Below the address's path; by default as the layout's clients have it. */
  root: z.string().refine(isNodePath, "must be the path of a node, such as /dubbo").optional(),
  /** What a service of the mesh is, of layout `dubbo`. */
  by: z.enum(["interface", "application"]).default("interface"),
  /** Where Dubbo keeps which interfaces an application has, of layout `curator`. */
  dubboRoot: z.string().refine(isNodePath, "must be the path of a node, such as /dubbo").optional(),
  /** Namespace of all its services in the mesh: ZooKeeper has none. */
  namespace: z
    .string()
    .refine(
      (value) => value !== "" && isNamePart(value),
      "must be a printable text of at most 253 characters without slash",
    )
    .default("default"),
  services: nameGlobs,
  ...ruleFields,
  digestAuth: digestAuth.optional(),
  /** PEM files, relative to the configuration's folder. `{}` is TLS with the system's CAs. */
  tls: z
    .strictObject({ ca: text.optional(), cert: text.optional(), key: text.optional(), serverName: text.optional() })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), "must have both cert and key, or neither")
    .optional(),
  /** For a connection, and for one answer. */
  timeout: duration("100ms", "5m").default(10_000),
});

/** Options of a registry of kind `zookeeper`, besides those that every registry has. */
export const zooKeeperOptions = zooKeeperFields
  .refine(({ layout, by }) => layout === "dubbo" || by === "interface", {
    path: ["by"],
    message: "is for layout dubbo only: in layout curator every service is an application",
  })
  .refine(({ layout, dubboRoot }) => layout === "curator" || dubboRoot === undefined, {
    path: ["dubboRoot"],
    message: "is for layout curator only",
  });

/** The options with their defaults filled in. */
export type ZooKeeperOptions = z.output<typeof zooKeeperFields>;
