import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { dirname, join, resolve } from "node:path";
import { Agent, type Dispatcher } from "undici";
import { parse } from "yaml";
import { fieldsOf, listOf } from "../../istio/fields.ts";

/** Where credentials come from, and where they let in. */
export interface CredentialSource {
  /** Base URL without trailing slash. */
  readonly server: string;
  /** The context's namespace, if it names one. */
  readonly namespace: string | undefined;
  /** What they are now. `material` is another when connections made before are of no use any more. */
  read(): Promise<{
    readonly headers: Readonly<Record<string, string>>;
    readonly material: string;
    readonly connect: () => Dispatcher;
  }>;
}

/** Where a pod finds the API server. */
export interface PodOptions {
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  readonly host: string;
  readonly port: string;
}

/** Text in a configuration (base64 or plain), or a file of it. */
type Text = { readonly text: string } | { readonly file: string } | undefined;

interface Plain {
  readonly ca: Text;
  readonly cert: Text;
  readonly key: Text;
  readonly token: Text;
  readonly isInsecure: boolean;
}

/** What the service account in `folder` gives. */
export async function podSource(folder: string, { host, port }: PodOptions): Promise<CredentialSource> {
  const namespace = await readFile(join(folder, "namespace"), "utf8").catch(() => undefined);
  return sourceOf(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`, namespace?.trim(), {
    ca: { file: join(folder, "ca.crt") },
    token: { file: join(folder, "token") },
    cert: undefined,
    key: undefined,
    isInsecure: false,
  });
}

const CLUSTER_FIELDS = new Set([
  "server",
  "certificate-authority",
  "certificate-authority-data",
  "insecure-skip-tls-verify",
  "extensions",
]);
const USER_FIELDS = new Set([
  "client-certificate",
  "client-certificate-data",
  "client-key",
  "client-key-data",
  "token",
  "tokenFile",
  "extensions",
]);

/**
 * What a kubeconfig gives that needs nothing but certificates and tokens; `undefined` for any other, also for one that cannot be
 * read: `@kubernetes/client-node` knows them all, and says what is wrong. It takes 50 MB and 0.5 s to load.
 */
export async function plainSource(path: string, context: string | undefined): Promise<CredentialSource | undefined> {
  let content: Readonly<Record<string, unknown>>;
  try {
    content = fieldsOf(parse(await readFile(path, "utf8")));
  } catch {
    return undefined;
  }
  const chosen = named(content.contexts, context ?? content["current-context"], "context");
  const cluster = named(content.clusters, chosen?.cluster, "cluster");
  const user = named(content.users, chosen?.user, "user");
  if (chosen === undefined || !isKnown(cluster, CLUSTER_FIELDS) || !isKnown(user, USER_FIELDS)) return undefined;
  const { server } = cluster;
  if (typeof server !== "string" || !server.startsWith("https://")) return undefined;
  const folder = dirname(path);
  return sourceOf(server.replace(/\/+$/, ""), textOf(chosen.namespace), {
    ca: inline(cluster, "certificate-authority", folder),
    cert: inline(user, "client-certificate", folder),
    key: inline(user, "client-key", folder),
    token: textOf(user.token) === undefined ? fileOf(user.tokenFile, folder) : { text: String(user.token) },
    isInsecure: cluster["insecure-skip-tls-verify"] === true,
  });
}

function sourceOf(server: string, namespace: string | undefined, plain: Plain): CredentialSource {
  return {
    server,
    namespace,
    async read() {
      const { ca, cert, key, token, isInsecure } = plain;
      const [trusted, certificate, secret, bearer] = await Promise.all([ca, cert, key, token].map(contentOf));
      const tls = {
        ...(trusted === undefined ? {} : { ca: trusted }),
        ...(certificate === undefined ? {} : { cert: certificate }),
        ...(secret === undefined ? {} : { key: secret }),
        ...(isInsecure ? { rejectUnauthorized: false } : {}),
      };
      return {
        // A token file may end in a line break.
        headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer.trim()}` },
        material: hash("sha256", JSON.stringify(tls)),
        connect: () => new Agent({ connect: { ...tls, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS } }),
      };
    },
  };
}

const KEEP_ALIVE_MS = 30_000;

async function contentOf(text: Text): Promise<string | undefined> {
  if (text === undefined) return undefined;
  return "text" in text ? text.text : readFile(text.file, "utf8");
}

/** `{name, <field>: {…}}` among others, by its name. */
function named(list: unknown, name: unknown, field: string): Readonly<Record<string, unknown>> | undefined {
  const found = listOf(list)
    .map(fieldsOf)
    .find((item) => item.name === name);
  return found === undefined ? undefined : fieldsOf(found[field]);
}

function isKnown(
  fields: Readonly<Record<string, unknown>> | undefined,
  known: ReadonlySet<string>,
): fields is Readonly<Record<string, unknown>> {
  return fields !== undefined && Object.keys(fields).every((field) => known.has(field));
}

function inline(fields: Readonly<Record<string, unknown>>, name: string, folder: string): Text {
  const data = textOf(fields[`${name}-data`]);
  return data === undefined ? fileOf(fields[name], folder) : { text: Buffer.from(data, "base64").toString() };
}

function fileOf(file: unknown, folder: string): Text {
  const path = textOf(file);
  return path === undefined ? undefined : { file: resolve(folder, path) };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
